//! JSON that is sent while it is made, so that a list of any length takes the memory of one page.

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::authority::Error;
use crate::causes::error_chain;
use crate::http::requests;

/// The reason why a response ends early.
pub(super) enum Interrupted {
    /// The next page could not be read.
    Failed(Error),
    /// The client has gone away.
    Abandoned,
}

impl From<Error> for Interrupted {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

enum Part {
    More(Bytes),
    Last(Bytes),
    Failed(Error),
}

/// The text of a response, which is sent page by page.
pub(super) struct Streamed {
    text: Vec<u8>,
    parts: mpsc::Sender<Part>,
}

impl Streamed {
    /// Appends JSON that the caller has made.
    pub(super) fn raw(&mut self, text: &str) {
        self.text.extend_from_slice(text.as_bytes());
    }

    /// Appends a value.
    pub(super) fn value(&mut self, value: &impl Serialize) -> Result<(), Interrupted> {
        serde_json::to_writer(&mut self.text, value)
            .map_err(|error| Interrupted::Failed(Error::Unavailable(Box::new(error))))
    }

    /// Begins the next item of a list.
    pub(super) fn item(&mut self, count: &mut u64) {
        if *count > 0 {
            self.raw(",");
        }
        *count += 1;
    }

    /// Appends an object whose last field is an empty list, and leaves that list open: `]}` ends it.
    pub(super) fn open(&mut self, object: &impl Serialize) -> Result<(), Interrupted> {
        self.value(object)?;
        debug_assert!(self.text.ends_with(b"[]}"), "the last field is an empty list");
        self.text.truncate(self.text.len().saturating_sub(2));
        Ok(())
    }

    /// Sends what was appended, as soon as the client takes it.
    pub(super) async fn send(&mut self) -> Result<(), Interrupted> {
        let text = Bytes::from(std::mem::take(&mut self.text));
        let sent = self.parts.send(Part::More(text)).await;
        sent.map_err(|_| Interrupted::Abandoned)
    }
}

/// Returns the response that `make` writes. An error before the first part is sent is the result; later the
/// response ends early, which every HTTP/1.1 client notices.
pub(super) async fn respond<Make, Made>(content_type: &'static str, make: Make) -> Result<Response, Error>
where
    Make: FnOnce(Streamed) -> Made,
    Made: Future<Output = Result<Streamed, Interrupted>> + Send + 'static,
{
    let (parts, mut made) = mpsc::channel(1);
    let text = Vec::new();
    let making = make(Streamed {
        text,
        parts: parts.clone(),
    });
    requests::spawn(async move {
        let last = match making.await {
            Ok(streamed) => Part::Last(streamed.text.into()),
            Err(Interrupted::Failed(error)) => Part::Failed(error),
            Err(Interrupted::Abandoned) => return,
        };
        // The client may have gone away.
        let _ = parts.send(last).await;
    });
    let body = match made.recv().await {
        Some(Part::Last(whole)) => Body::from(whole),
        Some(Part::Failed(error)) => return Err(error),
        Some(Part::More(first)) => {
            let rest = stream::unfold(Some(made), |made| async {
                let mut made = made?;
                match made.recv().await {
                    Some(Part::More(text)) => Some((Ok(text), Some(made))),
                    Some(Part::Last(text)) => Some((Ok(text), None)),
                    Some(Part::Failed(error)) => {
                        tracing::error!(error = error_chain(&error), "a list ended early");
                        Some((Err(error), None))
                    }
                    None => Some((Err(Error::Busy), None)),
                }
            });
            Body::from_stream(stream::once(async { Ok(first) }).chain(rest))
        }
        // The task has panicked.
        None => return Err(Error::Unavailable("a list could not be made".into())),
    };
    Ok(([(header::CONTENT_TYPE, content_type)], body).into_response())
}
