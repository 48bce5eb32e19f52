//! Compiles the published `.proto` files; no protoc is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto");
    println!("cargo:rerun-if-changed={root}");
    let files = ["tamis/campaign/v1/campaign.proto", "tamis/suppression/v1/suppression.proto"];
    let set = protox::compile(files, [root])?;
    prost_build::Config::new().compile_fds(set)?;
    Ok(())
}
