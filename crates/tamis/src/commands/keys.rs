//! STUB
#[derive(Debug, clap::Args)]
pub(crate) struct Keys {}
impl Keys {
    pub(crate) fn run(self, _g: &crate::cli::Global) -> crate::exit_code::Outcome {
        todo!()
    }
}
