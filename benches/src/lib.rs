//! What the whole line costs on a real Kafka, next to what a copy costs and to what one would write in a day.

pub mod filter;
pub mod machine;
pub mod made;
pub mod paced;
pub mod people;
pub mod plain;
pub mod raw;
pub mod rival;
pub mod setting;
pub mod tamis;
