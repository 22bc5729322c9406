//! `worker list`: all workers at a glance.

use super::hub;
use super::table::{columns, expires};
use super::talk::Talk;
use crate::cluster::ConnectionArgs;
use crate::duration;
use crate::worker::{AT_ONCE, Count, Row, ask, document, list};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use kubiya_hook::edge::{Console, Failure, Outcome};
use serde_json::{Value, json};
use std::time::Duration;

/// List the workers that the infra cluster knows
///
/// Without `-o` no worker is asked: credentials, their end, what Flux applies there and at which revision are
/// known on the infra cluster.
#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// Only workers whose credentials end within this time, such as 14d; exit code 1 if there are any
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    expiring: Option<Duration>,
    /// How many workers are asked at once
    #[arg(long, value_name = "COUNT", default_value_t = AT_ONCE)]
    concurrency: usize,
    /// `wide` asks the workers, too; `json` and `yaml` as well
    #[arg(short, long, value_name = "FORMAT", value_enum)]
    output: Option<Format>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Wide,
    Json,
    Yaml,
    Name,
}

/// Runs the command.
pub(super) async fn run(args: ListArgs, connection: &ConnectionArgs, console: &mut Console) -> Outcome {
    let hub = hub(connection).await?;
    let mut rows = list(&hub).await?;
    let now = Timestamp::now();
    if let Some(soon) = args.expiring {
        let then = now.checked_add(soon).unwrap_or(Timestamp::MAX);
        rows.retain(|row| row.ends_before(then));
    }
    if !matches!(args.output, None | Some(Format::Name)) {
        // A worker that hangs must not hold up the list of the others.
        let patience = connection.request_timeout.min(Duration::from_secs(10));
        let (mut count, mut talk) = (Count::of(rows.len()), Talk::new(&mut console.err, false));
        ask(&hub, &mut rows, args.concurrency, patience, |well| talk.count("asking", count.add(well))).await;
        talk.end_progress();
    }
    let text = match args.output {
        None | Some(Format::Wide) => table(&rows, args.output.is_some(), now),
        Some(Format::Name) => rows.iter().map(|row| format!("worker/{}\n", row.record.worker)).collect(),
        Some(Format::Json) => format!("{:#}\n", documents(&rows)),
        Some(Format::Yaml) => serde_yaml::to_string(&documents(&rows))
            .map_err(|error| Failure::unverified("cannot write the list as YAML").because(&error))?,
    };
    let _ = console.out.bytes(text.as_bytes());
    if rows.is_empty() && args.expiring.is_none() && args.output.is_none() {
        let _ = console.err.line("no workers");
    }
    Ok(u8::from(args.expiring.is_some() && !rows.is_empty()))
}

fn documents(rows: &[Row]) -> Value {
    let items: Vec<Value> = rows
        .iter()
        .map(|row| {
            let mut item = document(&row.record);
            item["secretNamespaces"] = json!(row.namespaces);
            item["kustomizations"] = json!({"ready": row.ready, "total": row.total});
            item["revisions"] = json!(row.revisions);
            match &row.answer {
                Some(Ok(version)) => item["version"] = json!(version),
                Some(Err(reason)) => item["unreachable"] = json!(reason),
                None => {}
            }
            item
        })
        .collect();
    json!({"apiVersion": "kubiya.dev/v1alpha1", "kind": "WorkerList", "items": items})
}

fn table(rows: &[Row], wide: bool, now: Timestamp) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut lines = vec![header(wide)];
    lines.extend(rows.iter().map(|row| cells(row, wide, now)));
    columns(&lines)
}

fn header(wide: bool) -> Vec<String> {
    let names: &[&str] = if wide {
        &["NAME", "CREDENTIAL", "EXPIRES", "READY", "REVISION", "VERSION", "SERVER", "SECRET IN"]
    } else {
        &["NAME", "CREDENTIAL", "EXPIRES", "READY", "REVISION"]
    };
    names.iter().map(|&name| name.to_owned()).collect()
}

fn cells(row: &Row, wide: bool, now: Timestamp) -> Vec<String> {
    let revision = match row.revisions.as_slice() {
        [] => "-".to_owned(),
        [one] => short(one),
        several => format!("{} differ", several.len()),
    };
    let mut cells = vec![
        row.record.worker.clone(),
        row.record.kind.word().to_owned(),
        expires(&row.record, now),
        format!("{}/{}", row.ready, row.total),
        revision,
    ];
    if wide {
        let version = match &row.answer {
            Some(Ok(version)) => version.clone(),
            _ => "unreachable".to_owned(),
        };
        cells.extend([version, row.record.server.clone(), row.namespaces.join(",")]);
    }
    cells
}

/// `main@sha1:0123456789` of a revision: enough to find the commit.
fn short(revision: &str) -> String {
    match revision.rsplit_once(':') {
        Some((branch, oid)) => format!("{branch}:{}", oid.get(..10).unwrap_or(oid)),
        None => revision.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::{CredentialKind, Record, Scope};

    #[test]
    fn a_table_for_people() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let row = |name: &str, expires: Option<&str>, revisions: &[&str], answer| Row {
            record: Record {
                worker: name.to_owned(),
                kind: if expires.is_some() { CredentialKind::Minted } else { CredentialKind::Copied },
                server: format!("https://{name}.example.com"),
                cluster: None,
                expires: expires.map(|end| end.parse().unwrap()),
                token_secret: None,
                scope: Scope::Cluster,
                audience: None,
            },
            namespaces: vec!["flux-system".to_owned()],
            total: 3,
            ready: revisions.len(),
            revisions: revisions.iter().map(|&revision| revision.to_owned()).collect(),
            answer,
        };
        let rows = [
            row(
                "a",
                Some("2027-11-21T12:00:00Z"),
                &["main@sha1:0123456789abcdef"],
                Some(Ok("v1.36.3".to_owned())),
            ),
            row("worker02", Some("2026-11-21T11:00:00Z"), &["x", "y"], Some(Err("no".to_owned()))),
            row("c", None, &[], Some(Ok("v1.35.0".to_owned()))),
        ];
        insta::assert_snapshot!(table(&rows, true, now));
        assert_eq!(table(&[], true, now), "");
        let then: Timestamp = "2026-12-01T00:00:00Z".parse().unwrap();
        assert_eq!(rows.map(|row| row.ends_before(then)), [false, true, false]);
    }
}
