use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use stockade_sdk::{ToolError, config, json, log};
use wstd::http::{Client, Request};
use wstd::runtime::block_on;

use crate::{Known, Locked, known, packages, remember};

const ENDPOINT: &str = "https://api.osv.dev";
/// Packages in one question; OSV takes a thousand.
const AT_ONCE: usize = 500;
/// The host puts the token there; this plugin never sees it.
const TOKEN: &str = "Bearer {{secret:osv-token}}";

#[derive(Deserialize)]
pub(crate) struct Arguments {
    lockfile: String,
    #[serde(default = "a_day")]
    max_age_hours: u64,
}

fn a_day() -> u64 {
    24
}

#[derive(Serialize)]
pub(crate) struct Report {
    packages: usize,
    asked: usize,
    remembered: usize,
    vulnerable: Vec<Vulnerable>,
}

#[derive(Serialize)]
struct Vulnerable {
    name: String,
    version: String,
    ids: Vec<String>,
}

/// `querybatch`: one result for each query, in order.
#[derive(Deserialize)]
struct Answer {
    results: Vec<Found>,
}

#[derive(Deserialize)]
struct Found {
    #[serde(default)]
    vulns: Vec<Id>,
}

#[derive(Deserialize)]
struct Id {
    id: String,
}

pub(crate) fn audit(arguments: Arguments) -> Result<Report, ToolError> {
    let packages = packages(&arguments.lockfile)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let max_age = arguments.max_age_hours * 3600;
    let mut all = Vec::with_capacity(packages.len());
    let mut unknown = Vec::new();
    for package in packages {
        match known(&package, now, max_age)? {
            Some(known) => all.push((package, known.ids)),
            None => unknown.push(package),
        }
    }
    let (remembered, asked) = (all.len(), unknown.len());
    for packages in unknown.chunks(AT_ONCE) {
        log::write_fields(log::Level::Info, "asking", &[("packages", &packages.len().to_string())]);
        for (package, ids) in packages.iter().zip(ask(packages)?) {
            remember(package, &Known { at: now, ids: ids.clone() })?;
            all.push((package.clone(), ids));
        }
    }
    all.sort();
    let packages = all.len();
    let vulnerable = all
        .into_iter()
        .filter(|(_, ids)| !ids.is_empty())
        .map(|(Locked { name, version, .. }, ids)| Vulnerable { name, version, ids })
        .collect();
    Ok(Report { packages, asked, remembered, vulnerable })
}

/// The vulnerabilities of each package.
fn ask(packages: &[Locked]) -> Result<Vec<Vec<String>>, ToolError> {
    let endpoint = config::get::<String>("endpoint")?.unwrap_or_else(|| ENDPOINT.to_owned());
    let queries: Vec<_> = packages
        .iter()
        .map(|Locked { name, version, .. }| {
            json!({ "package": { "name": name, "ecosystem": "crates.io" }, "version": version })
        })
        .collect();
    let mut request =
        Request::post(format!("{endpoint}/v1/querybatch")).header("content-type", "application/json");
    if config::get::<bool>("token")?.unwrap_or(false) {
        request = request.header("authorization", TOKEN);
    }
    let request = request.body(json!({ "queries": queries }).to_string()).map_err(failed)?;
    let (status, body) = block_on(async {
        let response = Client::new().send(request).await.map_err(refused)?;
        let status = response.status();
        let mut body = response.into_body();
        Ok::<_, ToolError>((status, body.contents().await.map_err(failed)?.to_vec()))
    })?;
    if !status.is_success() {
        return Err(ToolError::Failed(format!("{endpoint} answered {status}")));
    }
    let answer: Answer = serde_json::from_slice(&body).map_err(failed)?;
    if answer.results.len() != packages.len() {
        return Err(ToolError::Failed(format!(
            "{endpoint} answered about {} packages",
            answer.results.len()
        )));
    }
    let ids = |found: Found| found.vulns.into_iter().map(|vuln| vuln.id).collect();
    Ok(answer.results.into_iter().map(ids).collect())
}

fn failed(error: impl std::fmt::Display) -> ToolError {
    ToolError::Failed(error.to_string())
}

/// Whether the sandbox said no, or the network did.
fn refused(error: wstd::http::Error) -> ToolError {
    use wstd::http::ErrorCode;
    match error.downcast_ref::<ErrorCode>() {
        Some(ErrorCode::HttpRequestDenied | ErrorCode::DestinationIpProhibited) => {
            ToolError::Denied(format!("the request: {error:#}"))
        }
        _ => ToolError::Failed(format!("the request: {error:#}")),
    }
}
