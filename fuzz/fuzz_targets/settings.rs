//! Any text as a settings file, with any environment over it: no panic, every finding can be told, and no value of
//! `bus.client`, which may be a secret, is in one.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tamis_settings::Settings;

/// Stands in the corpus only where a value stands.
const SECRET: &str = "hunter2";

fuzz_target!(|input: (Vec<(&str, &str)>, &str)| {
    let (environment, text) = input;
    let variables = environment.iter().take(8).map(|(name, value)| {
        let name = if name.contains("__") { format!("TAMIS_{name}") } else { (*name).to_owned() };
        (name, (*value).to_owned())
    });
    match Settings::parse(text, Path::new("/nowhere/tamis.toml"), variables) {
        Ok(settings) => {
            let shown = format!("{settings:?}");
            for value in settings.bus().client().values() {
                assert!(!value.contains(SECRET) || !shown.contains(SECRET) || elsewhere(text, &environment));
            }
            assert!(settings.topics().retention().as_secs() >= 60);
            assert!(settings.router().batch_ms_max() * 2 <= settings.router().freshness_max_ms());
        }
        Err(problems) => assert!(!problems.to_string().is_empty()),
    }
});

/// Whether the secret may be shown since it stands in the place of something else, too.
fn elsewhere(text: &str, environment: &[(&str, &str)]) -> bool {
    let in_environment =
        environment.iter().filter(|(name, value)| name.contains(SECRET) || value.contains(SECRET));
    text.matches(SECRET).count() + in_environment.count() > 1
}
