//! being written
/// x
#[derive(Debug, Clone)]
pub struct Settings {
    /// x
    pub partitions: u32,
    /// x
    pub replication: u16,
    /// x
    pub max_message_bytes: usize,
    /// x
    pub retention: std::time::Duration,
}
impl Default for Settings {
    fn default() -> Self {
        Self {
            partitions: 8,
            replication: 0,
            max_message_bytes: 16 << 20,
            retention: std::time::Duration::from_secs(86400),
        }
    }
}
pub(super) fn probe(_c: &super::Config, _t: std::time::Duration) -> Result<(), crate::Error> {
    Ok(())
}
