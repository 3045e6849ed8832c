//! What [`crate::session::Reason`] and [`crate::degraded::Degraded`] have in common: enums that are tagged with their
//! `kind` in JSON, with texts of strangers in them.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::document::{DocumentError, ensure};
use crate::limits;
use crate::text::{self, clean};

/// The word that scripts compare: the `kind` of the JSON form.
pub(crate) fn kind(reason: &impl Serialize) -> String {
    let json = serde_json::to_value(reason).expect("reasons always serialise");
    json["kind"]
        .as_str()
        .expect("reasons are tagged")
        .to_owned()
}

/// Whether it is short enough to travel.
pub(crate) fn check(reason: &impl Serialize, field: &str) -> Result<(), DocumentError> {
    let size = serde_json::to_vec(reason).map_or(usize::MAX, |json| json.len());
    ensure(
        size <= limits::REASON,
        field,
        "is a reason of more than 8 KiB",
    )
}

/// The same with every text on one line, without control characters, and cut after 300 characters, and every list cut
/// after 64 entries.
pub(crate) fn cleaned<T: Serialize + DeserializeOwned>(reason: &T) -> T {
    fn walk(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::String(text) => *text = clean(text, text::DETAIL),
            serde_json::Value::Object(fields) => fields.values_mut().for_each(walk),
            serde_json::Value::Array(items) => {
                items.truncate(limits::PARTIES);
                items.iter_mut().for_each(walk);
            }
            _ => {}
        }
    }
    let mut json = serde_json::to_value(reason).expect("reasons always serialise");
    walk(&mut json);
    // Names, keys, digests and times are short and plain already, so only free texts change.
    serde_json::from_value(json).expect("a cleaned reason is still one")
}
