//! Reads the parts of a request's path as the values they stand for; anything else is not found.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use super::Refusal;
use crate::names::Segment;

/// A path with one variable part.
pub(crate) struct One<T>(pub(crate) T);

/// A path with two of them.
pub(super) struct Two<A, B>(pub(super) A, pub(super) B);

impl<S: Send + Sync, T: Segment> FromRequestParts<S> for One<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let text = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| Refusal::NotFound)?;
        T::read(&text).map(Self).ok_or(Refusal::NotFound)
    }
}

impl<S: Send + Sync, A: Segment, B: Segment> FromRequestParts<S> for Two<A, B> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let texts = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((a, b)) = texts.map_err(|_| Refusal::NotFound)?;
        Ok(Self(
            A::read(&a).ok_or(Refusal::NotFound)?,
            B::read(&b).ok_or(Refusal::NotFound)?,
        ))
    }
}
