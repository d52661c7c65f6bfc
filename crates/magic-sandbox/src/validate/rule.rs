//! The rules that a body can break, each with its code.

use crate::reply::ApiError;

/// The reference states no number for these rules: the codes are the sandbox's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    Required = 1101,
    Type = 1102,
    NameTaken = 1103,
    NameCharacters = 1104,
    NameLength = 1105,
    Address = 1106,
    InterfacePrefix = 1107,
    InterfaceHost = 1108,
    InterfacePrivate = 1109,
    InterfacePrefix6 = 1110,
    Md5Key = 1111,
    Mtu = 1112,
    Ttl = 1113,
    Asn = 1114,
    FqdnForm = 1115,
    FqdnTaken = 1116,
    Choice = 1117,
    TargetForm = 1118,
    ExtraPrefix = 1119,
    Psk = 1120,
    Duplicate = 1121,
}

impl Rule {
    pub(crate) fn error(self, pointer: impl Into<String>, message: impl Into<String>) -> ApiError {
        let mut error = ApiError::new(self as u32, message);
        error.pointer = Some(pointer.into());
        error
    }
}
