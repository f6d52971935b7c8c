//! `POST /v1/attachments` with progress, which `fetch` cannot tell yet: XMLHttpRequest.

use futures::channel::oneshot;
use types::{Problem, ProblemKind, api::Uploaded};
use wasm_bindgen::{JsCast, prelude::Closure};
use web_sys::{File, ProgressEvent, XmlHttpRequest};

use super::{
    Answer,
    http::{CSRF, problem},
};

/// Sends a file. `progress` hears the part that has gone, from 0 to 1; once it says no, the upload ends.
pub(crate) async fn upload(file: &File, progress: impl Fn(f64) -> bool + 'static) -> Answer<Uploaded> {
    let request = open(file).map_err(|_| offline())?;
    let sender = request.clone();
    let on_progress = Closure::<dyn Fn(ProgressEvent)>::new(move |event: ProgressEvent| {
        let known = event.length_computable() && event.total() > 0.0;
        if known && !progress(event.loaded() / event.total()) {
            let _ = sender.abort();
        }
    });
    if let Ok(upload) = request.upload() {
        upload.set_onprogress(Some(on_progress.as_ref().unchecked_ref()));
    }
    let (done, finished) = oneshot::channel();
    let on_end = Closure::once(move || {
        let _ = done.send(());
    });
    request.set_onloadend(Some(on_end.as_ref().unchecked_ref()));
    request.send_with_opt_blob(Some(file)).map_err(|_| offline())?;
    let _ = finished.await;
    let status = request.status().unwrap_or(0);
    let body = request.response_text().ok().flatten().unwrap_or_default();
    match status {
        0 => Err(offline()),
        200..=299 => serde_json::from_str(&body).map_err(|_| problem(status, &body)),
        _ => Err(problem(status, &body)),
    }
}

fn open(file: &File) -> Result<XmlHttpRequest, wasm_bindgen::JsValue> {
    let request = XmlHttpRequest::new()?;
    let path = format!("/v1/attachments?filename={}", crate::text::encode(&file.name()));
    request.open_with_async("POST", &path, true)?;
    request.set_request_header(CSRF.0, CSRF.1)?;
    let kind = file.type_();
    let kind = if kind.is_empty() { "application/octet-stream" } else { &kind };
    request.set_request_header("content-type", kind)?;
    Ok(request)
}

fn offline() -> Problem {
    Problem::new(ProblemKind::Unavailable, "the upload did not arrive")
}
