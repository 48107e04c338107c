//! What a stock Rust component does over HTTP, through a client that somebody else wrote.

use futures_concurrency::prelude::*;
use wstd::http::body::Bytes;
use wstd::http::{Body, BodyExt, Client, Request};
use wstd::runtime::block_on;

wit_bindgen::generate!({
    inline: "
        package guests:http-tour;
        world http-tour {
            record answer { status: u16, headers: list<tuple<string, string>>, body: string }

            export fetch: func(
                method: string,
                url: string,
                headers: list<tuple<string, string>>,
                body: option<string>,
            ) -> result<answer, string>;
            /// All at once.
            export fetch-all: func(urls: list<string>) -> list<result<string, string>>;
            /// Bytes of a body that is read piece by piece.
            export count: func(url: string) -> result<u64, string>;
            /// Sends so many blocks of 64 KiB, and returns what comes back.
            export upload: func(url: string, blocks: u32) -> result<string, string>;
            /// Likewise, and counts what comes back meanwhile.
            export echo: func(url: string, blocks: u32) -> result<u64, string>;
            /// Asks so often, one after the other; bytes of all bodies.
            export again: func(url: string, times: u32) -> result<u64, string>;
            /// Asks so often and reads nothing; how often there was a response.
            export abandon: func(url: string, times: u32) -> u32;
        }
    ",
});

struct Tour;

fn words(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

fn get(url: &str) -> Result<Request<Body>, String> {
    Request::get(url).body(Body::empty()).map_err(words)
}

/// A body of so many blocks, made as it is sent.
fn blocks(count: u32) -> Body {
    let blocks = (0..count).map(|_| Bytes::from(vec![0x5a; 65_536]));
    Body::from_stream(futures_lite::stream::iter(blocks))
}

async fn length(body: Body) -> Result<u64, String> {
    let mut length = 0;
    let mut body = body.into_boxed_body();
    while let Some(frame) = body.frame().await {
        length += frame.map_err(words)?.data_ref().map_or(0, |data| data.len() as u64);
    }
    Ok(length)
}

impl Guest for Tour {
    fn fetch(
        method: String,
        url: String,
        headers: Vec<(String, String)>,
        body: Option<String>,
    ) -> Result<Answer, String> {
        let mut request = Request::builder().method(&*method).uri(url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let body = body.map_or_else(Body::empty, Body::from);
        let request = request.body(body).map_err(words)?;
        block_on(async {
            let response = Client::new().send(request).await.map_err(words)?;
            let (head, mut body) = response.into_parts();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            Ok(Answer {
                status: head.status.as_u16(),
                headers: head.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect(),
                body: text(body.contents().await.map_err(words)?),
            })
        })
    }

    fn fetch_all(urls: Vec<String>) -> Vec<Result<String, String>> {
        let one = async |url: String| {
            let response = Client::new().send(get(&url)?).await.map_err(words)?;
            let mut body = response.into_body();
            Ok(String::from_utf8_lossy(body.contents().await.map_err(words)?).into_owned())
        };
        block_on(async { urls.into_iter().map(one).collect::<Vec<_>>().join().await })
    }

    fn count(url: String) -> Result<u64, String> {
        block_on(async {
            let response = Client::new().send(get(&url)?).await.map_err(words)?;
            length(response.into_body()).await
        })
    }

    fn upload(url: String, count: u32) -> Result<String, String> {
        let request = Request::post(url).body(blocks(count)).map_err(words)?;
        block_on(async {
            let response = Client::new().send(request).await.map_err(words)?;
            let mut body = response.into_body();
            Ok(String::from_utf8_lossy(body.contents().await.map_err(words)?).into_owned())
        })
    }

    fn echo(url: String, count: u32) -> Result<u64, String> {
        let request = Request::post(url).body(blocks(count)).map_err(words)?;
        block_on(async {
            let response = Client::new().send(request).await.map_err(words)?;
            length(response.into_body()).await
        })
    }

    fn again(url: String, times: u32) -> Result<u64, String> {
        block_on(async {
            let mut bytes = 0;
            for _ in 0..times {
                let response = Client::new().send(get(&url)?).await.map_err(words)?;
                bytes += length(response.into_body()).await?;
            }
            Ok(bytes)
        })
    }

    fn abandon(url: String, times: u32) -> u32 {
        block_on(async {
            let mut answered = 0;
            for _ in 0..times {
                let Ok(request) = get(&url) else { break };
                answered += u32::from(Client::new().send(request).await.is_ok());
            }
            answered
        })
    }
}

export!(Tour);
