//! Compiles the published `.proto` files; no protoc is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // From the package, where build scripts run: a path compiled in would stay that of another checkout in a build folder
    // that was copied.
    let root = "../../proto";
    println!("cargo:rerun-if-changed={root}");
    let files = ["tamis/campaign/v1/campaign.proto", "tamis/suppression/v1/suppression.proto"];
    let set = protox::compile(files, [root])?;
    // What holds people or content prints redacted: see src/redacted.rs.
    let redacted = ["SendJob", "Delivery", "Recipient", "PostalAddress", "InboundEvent"];
    let paths = redacted.map(|name| format!("tamis.campaign.v1.{name}"));
    prost_build::Config::new().skip_debug(paths).compile_fds(set)?;
    Ok(())
}
