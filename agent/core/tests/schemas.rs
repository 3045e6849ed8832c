//! The committed JSON schemas are those of the types.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod fixture;

use std::path::Path;

use e3_core::digest::Digest;
use fixture::*;
use serde_json::Value;

#[test]
fn committed_schemas_are_those_of_the_types() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    let renew = std::env::var_os("E3_BLESS").is_some_and(|value| value == "1");
    let mut names = Vec::new();
    for (kind, schema) in e3_core::schema::all() {
        let path = folder.join(format!("{kind}.json"));
        let expected = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if renew {
            std::fs::write(&path, &expected).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        let how = "renew the schemas with: E3_BLESS=1 cargo test -p e3-core --test schemas";
        assert!(
            committed == expected,
            "schemas/{kind}.json is not the schema of the type any more; {how}"
        );
        names.push(format!("{kind}.json"));
    }
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    names.sort();
    assert_eq!(
        files, names,
        "a schema is left over of a document that does not exist any more"
    );
}

#[test]
fn schemas_know_every_field_of_a_document() {
    let schema = |kind: &str| {
        let found = e3_core::schema::all()
            .into_iter()
            .find(|(name, _)| *name == kind);
        found.unwrap_or_else(|| panic!("no schema of {kind}")).1
    };
    let fits = |kind: &str, document: Value| {
        let schema = schema(kind);
        let properties = schema.get("properties").unwrap().as_object().unwrap();
        let required = schema.get("required").unwrap().as_array().unwrap();
        let fields = document.as_object().unwrap();
        assert!(
            fields.keys().all(|field| properties.contains_key(field)),
            "{kind}"
        );
        assert!(
            required
                .iter()
                .all(|field| fields.contains_key(field.as_str().unwrap())),
            "{kind}"
        );
        assert!(!required.is_empty());
        // Payloads are closed; envelopes are not, since nothing unknown in them is signed.
        let closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
        assert_eq!(closed, kind != "envelope", "{kind}");
    };
    fits("root", serde_json::to_value(root()).unwrap());
    fits("head", serde_json::to_value(head(&trust(), 1)).unwrap());
    fits("session", serde_json::to_value(session()).unwrap());
    fits("release", serde_json::to_value(release(1)).unwrap());
    fits(
        "ready",
        serde_json::to_value(ready(Digest::of(b"m"), 0)).unwrap(),
    );
    fits(
        "envelope",
        serde_json::from_slice(&bytes(&root(), &ROOT)).unwrap(),
    );
}
