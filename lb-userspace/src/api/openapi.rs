//! The API as an OpenAPI document (3.1): made of one table, and of the types that are sent and taken.

use std::sync::OnceLock;

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::watch::{PacketView, WatchRequest};
use super::{
    config::{ConfigView, ReloadAnswer, ReloadRequest},
    exit::{ExitAnswer, ExitRequest},
    flows::{EndAnswer, EndRequest},
    orders::{OrderAnswer, OrderRequest, OrderView},
    peer::ON_BEHALF_OF,
    query::{EventFilter, FlowFilter},
    routes::path,
    trace::{TraceRequest, TraceView},
    types::{
        BackendView, ErrorView, FlowCount, FlowView, HaAnswer, HaOrder, HaView, ServiceView, StatsView,
        StatusView, SyncView, VerifyRequest, VerifyView,
    },
};
use crate::{core::event::Record, notify::ReceiverView};

/// What can be asked or ordered at a path.
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    id: &'static str,
    summary: &'static str,
    /// What may stand behind a question mark.
    parameters: Option<Type>,
    /// What comes in the body.
    body: Option<Type>,
    answer: Answer,
}

/// A type's schema.
type Type = fn(&mut SchemaGenerator) -> Value;

#[derive(Clone, Copy)]
enum Answer {
    Json(Type),
    /// One such value a line.
    Lines(Type),
    /// Something else than JSON, in one of these forms.
    Text(&'static [&'static str]),
    /// The document itself.
    Document,
}

fn of<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Value {
    schemas.subschema_for::<T>().to_value()
}

const fn get(path: &'static str, id: &'static str, summary: &'static str, answer: Answer) -> Operation {
    Operation {
        method: "get",
        path,
        id,
        summary,
        parameters: None,
        body: None,
        answer,
    }
}

const fn post(
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    body: Type,
    answer: Type,
) -> Operation {
    Operation {
        method: "post",
        body: Some(body),
        ..get(path, id, summary, Answer::Json(answer))
    }
}

impl Operation {
    const fn with(self, parameters: Type) -> Self {
        Self {
            parameters: Some(parameters),
            ..self
        }
    }
}

/// Everything there is.
pub(super) const OPERATIONS: &[Operation] = &[
    get(
        path::STATUS,
        "status",
        "The director as a whole.",
        Answer::Json(of::<StatusView>),
    ),
    get(
        path::SERVICES,
        "services",
        "Services in the order of the configuration.",
        Answer::Json(of::<Vec<ServiceView>>),
    ),
    get(
        path::BACKENDS,
        "backends",
        "Backends by service in the order of the configuration, then those that were removed.",
        Answer::Json(of::<Vec<BackendView>>),
    ),
    get(
        path::STATS,
        "stats",
        "Counters and tables.",
        Answer::Json(of::<StatsView>),
    ),
    get(
        path::HA,
        "ha",
        "This director's part in the pair.",
        Answer::Json(of::<HaView>),
    ),
    post(
        path::HA,
        "orderPair",
        "An order about the pair.",
        of::<HaOrder>,
        of::<HaAnswer>,
    ),
    get(
        path::SYNC,
        "sync",
        "How the synchronisation of connections stands.",
        Answer::Json(of::<SyncView>),
    ),
    get(
        path::VERIFY,
        "verify",
        "How the tables compare with those of the other directors.",
        Answer::Json(of::<VerifyView>),
    )
    .with(of::<VerifyRequest>),
    get(
        path::FLOWS,
        "flows",
        "Living flows, one a line.",
        Answer::Lines(of::<FlowView>),
    )
    .with(of::<FlowFilter>),
    get(
        path::FLOW_COUNT,
        "countFlows",
        "How many living flows there are.",
        Answer::Json(of::<FlowCount>),
    )
    .with(of::<FlowFilter>),
    post(
        path::FLOW_END,
        "endFlows",
        "Ends flows.",
        of::<EndRequest>,
        of::<EndAnswer>,
    ),
    get(
        path::ORDERS,
        "orders",
        "The orders that stand.",
        Answer::Json(of::<Vec<OrderView>>),
    ),
    post(
        path::ORDERS,
        "order",
        "Gives an order.",
        of::<OrderRequest>,
        of::<OrderAnswer>,
    ),
    get(
        path::EVENTS,
        "events",
        "What happened, one event a line.",
        Answer::Lines(of::<Record>),
    )
    .with(of::<EventFilter>),
    get(
        path::EVENT_RECEIVERS,
        "eventReceivers",
        "Who is told of events, and how that goes.",
        Answer::Json(of::<Vec<ReceiverView>>),
    ),
    get(
        path::CONFIG,
        "config",
        "The configuration in force.",
        Answer::Json(of::<ConfigView>),
    ),
    post(
        path::CONFIG,
        "reload",
        "Has the daemon read its file again, or roll back. Without a body it reads the file.",
        of::<ReloadRequest>,
        of::<ReloadAnswer>,
    ),
    get(
        path::METRICS,
        "metrics",
        "Metrics, as OpenMetrics has them.",
        Answer::Text(&["text/plain", "application/openmetrics-text"]),
    ),
    get(
        path::TRACE,
        "trace",
        "Where a packet would go, and why. None is sent.",
        Answer::Json(of::<TraceView>),
    )
    .with(of::<TraceRequest>),
    get(
        path::PACKETS,
        "packets",
        "Packets as they come and go, with what is decided of each, one a line.",
        Answer::Lines(of::<PacketView>),
    )
    .with(of::<WatchRequest>),
    post(
        path::EXIT,
        "exit",
        "Ends balancing, and the daemon.",
        of::<ExitRequest>,
        of::<ExitAnswer>,
    ),
    get(path::OPENAPI, "openapi", "This document.", Answer::Document),
];

/// Every path, in the order of the table.
pub(super) fn paths() -> Vec<&'static str> {
    let mut paths: Vec<&str> = OPERATIONS.iter().map(|operation| operation.path).collect();
    paths.dedup();
    paths
}

/// The document, as the daemon serves it.
#[must_use]
pub fn document() -> &'static str {
    static DOCUMENT: OnceLock<String> = OnceLock::new();
    DOCUMENT.get_or_init(|| {
        let mut text = format!("{:#}", generate());
        text.push('\n');
        text
    })
}

pub(super) async fn serve() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document()).into_response()
}

fn generate() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let schemas = &mut SchemaGenerator::new(settings);
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let entry = paths.entry(operation.path).or_insert_with(|| json!({}));
        entry[operation.method] = describe(operation, schemas);
    }
    let error = of::<ErrorView>(schemas);
    let definitions: Map<String, Value> = schemas.take_definitions(true).into_iter().collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tandem",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
            "description": "What tandemd tells and takes on its unix socket (curl --unix-socket /run/tandem/tandem.sock \
                            http://localhost/v1/status). Paths and fields that are there stay, with their meaning; others may come.",
        },
        "servers": [{ "url": "http://localhost", "description": "The unix socket; the host's name does not matter." }],
        "paths": paths,
        "components": {
            "schemas": definitions,
            "responses": {
                "error": {
                    "description": "It was not done: 400 wrong, 403 not allowed, 404 nothing of that name, 405 wrong method, 409 it would \
                                    do harm, 429 too many at a time, 503 the daemon is stopping, 504 it did not answer in time.",
                    "content": { "application/json": { "schema": error } },
                },
            },
        },
    })
}

fn describe(operation: &Operation, schemas: &mut SchemaGenerator) -> Value {
    let content = |kind: &str, schema: Value| json!({ kind: { "schema": schema } });
    let content = match operation.answer {
        Answer::Json(schema) => content("application/json", schema(schemas)),
        // A schema is for a line.
        Answer::Lines(schema) => json!({ "application/x-ndjson": { "x-line": schema(schemas) } }),
        Answer::Text(kinds) => kinds
            .iter()
            .map(|kind| ((*kind).to_owned(), json!({ "schema": { "type": "string" } })))
            .collect(),
        Answer::Document => content("application/json", json!({ "type": "object" })),
    };
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "responses": {
            "200": { "description": "Done.", "content": content },
            "default": { "$ref": "#/components/responses/error" },
        },
    });
    let mut parameters = operation
        .parameters
        .map_or_else(Vec::new, |parameters| in_query(&parameters(schemas), schemas));
    if operation.method == "post" {
        parameters.push(json!({
            "name": ON_BEHALF_OF,
            "in": "header",
            "description": "For whom root acts; events and orders name him.",
            "schema": { "type": "string", "pattern": "^[ -~]*$" },
        }));
    }
    if !parameters.is_empty() {
        described["parameters"] = Value::Array(parameters);
    }
    if let Some(body) = operation.body {
        described["requestBody"] = json!({
            "required": operation.path != path::CONFIG,
            "content": { "application/json": { "schema": body(schemas) } },
        });
    }
    described
}

/// The fields of a structure as parameters of a query.
fn in_query(reference: &Value, schemas: &SchemaGenerator) -> Vec<Value> {
    let name = reference["$ref"]
        .as_str()
        .and_then(|path| path.rsplit('/').next());
    let Some(structure) = name.and_then(|name| schemas.definitions().get(name)) else {
        return Vec::new();
    };
    let required = structure["required"].as_array();
    let fields = structure["properties"].as_object().into_iter().flatten();
    fields
        .map(|(name, schema)| {
            let mut schema = schema.clone();
            let description = schema
                .as_object_mut()
                .and_then(|schema| schema.remove("description"));
            let needed = required.is_some_and(|required| required.iter().any(|field| field == name));
            json!({
                "name": name,
                "in": "query",
                "required": needed,
                "description": description.unwrap_or_default(),
                "schema": without_null(schema),
            })
        })
        .collect()
}

/// What is missing in a query is not there, and never null.
fn without_null(mut schema: Value) -> Value {
    if let Some(kinds) = schema["type"].as_array() {
        let kinds: Vec<Value> = kinds.iter().filter(|kind| *kind != "null").cloned().collect();
        schema["type"] = match &kinds[..] {
            [only] => only.clone(),
            _ => Value::Array(kinds),
        };
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let choices: Vec<Value> = choices
            .iter()
            .filter(|choice| choice["type"] != "null")
            .cloned()
            .collect();
        if let [only] = &choices[..] {
            return only.clone();
        }
    }
    if let Some(schema) = schema.as_object_mut() {
        schema.retain(|_, value| !value.is_null());
    }
    schema
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_reference_leads_somewhere_and_every_type_is_used() {
        let document: Value = serde_json::from_str(document()).unwrap();
        let text = document.to_string();
        let named: BTreeSet<String> = text
            .split("#/components/schemas/")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .map(str::to_owned)
            .collect();
        let known: BTreeSet<String> = document["components"]["schemas"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        let missing: Vec<_> = named.difference(&known).collect();
        assert!(missing.is_empty(), "{missing:?}");
        // Those of parameters are written out.
        let unused: BTreeSet<_> = known.difference(&named).map(String::as_str).collect();
        assert!(
            unused.is_subset(&BTreeSet::from([
                "FlowFilter",
                "VerifyRequest",
                "EventFilter",
                "TraceRequest",
                "WatchRequest"
            ])),
            "{unused:?}"
        );
        let ids: BTreeSet<_> = OPERATIONS.iter().map(|operation| operation.id).collect();
        assert_eq!(ids.len(), OPERATIONS.len());
    }

    #[test]
    fn what_a_query_takes_is_written_out() {
        let document: Value = serde_json::from_str(document()).unwrap();
        let parameters = document["paths"]["/v1/trace"]["get"]["parameters"]
            .as_array()
            .unwrap();
        let named = |name: &str| {
            let mut parameters = parameters.iter();
            parameters.find(|parameter| parameter["name"] == name).unwrap()
        };
        assert_eq!(named("source")["required"], true);
        assert_eq!(named("interface")["required"], false);
        assert_eq!(named("interface")["schema"]["type"], "string");
    }
}
