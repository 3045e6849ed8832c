//! JSON schemas of everything that is signed, for people who read or write documents with other tools.
//!
//! They are generated from the types, and committed under `agent/core/schemas`; a test fails when the
//! two differ and says how to renew them. A schema says what a document looks like. Whether its parts
//! fit together is decided by [`Document::check`], and whether it counts by [`crate::trust`].

use schemars::{JsonSchema, Schema, generate::SchemaSettings};

use crate::document::{
    Document, Enrolment, Head, Images, Invite, Login, PartyAnswer, PartyRequest, Presence, Ready,
    Receipt, Release, Root, Session, Withdrawal,
};
use crate::envelope;
use crate::mesh::{MeshGrant, MeshKeyRequest};

/// The schema of each kind of document, and of the envelope, by the name of its file.
pub fn all() -> Vec<(&'static str, Schema)> {
    vec![
        (
            "envelope",
            generate::<envelope::Wire>("A signed document as it travels (DSSE)."),
        ),
        document::<Enrolment>(),
        document::<Head>(),
        document::<Images>(),
        document::<Invite>(),
        document::<Login>(),
        document::<MeshGrant>(),
        document::<MeshKeyRequest>(),
        document::<PartyAnswer>(),
        document::<PartyRequest>(),
        document::<Presence>(),
        document::<Ready>(),
        document::<Receipt>(),
        document::<Release>(),
        document::<Root>(),
        document::<Session>(),
        document::<Withdrawal>(),
    ]
}

fn document<T: Document + JsonSchema>() -> (&'static str, Schema) {
    let title = format!("The payload of an envelope of type {}.", T::payload_type());
    (T::KIND, generate::<T>(&title))
}

/// What a reader of the JSON form must expect: fields that may be left out are not required.
fn generate<T: JsonSchema>(title: &str) -> Schema {
    let generator = SchemaSettings::draft2020_12()
        .for_deserialize()
        .into_generator();
    let mut schema = generator.into_root_schema_for::<T>();
    schema.insert("title".to_owned(), title.into());
    schema
}
