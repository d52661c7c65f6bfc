//! A sample's value, and how it is printed.

use std::time::Duration;

/// A number; whole ones are written without a fraction.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    Whole(u64),
    Float(f64),
}

impl Value {
    pub(super) fn write(self, text: &mut String) {
        match self {
            Self::Whole(value) => text.push_str(itoa::Buffer::new().format(value)),
            Self::Float(value) => text.push_str(dtoa::Buffer::new().format(value)),
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Whole(value.into())
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Whole(value.into())
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Whole(value as u64)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

/// Unix seconds.
impl From<jiff::Timestamp> for Value {
    fn from(time: jiff::Timestamp) -> Self {
        Self::Float(time.as_second() as f64 + f64::from(time.subsec_nanosecond()) / 1e9)
    }
}

/// Seconds.
impl From<Duration> for Value {
    fn from(duration: Duration) -> Self {
        Self::Float(duration.as_secs_f64())
    }
}
