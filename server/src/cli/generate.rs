//! `tidegate generate`: the files that are made from the code and committed. For `cargo xtask codegen`.

use serde_json::{Value as Json, json};
use tidegate_core::FlagFile;
use utoipa::{PartialSchema as _, ToSchema as _};

/// The JSON Schema of the flag file, from the types that read it.
pub fn flag_schema() -> Json {
    let mut definitions = Vec::new();
    FlagFile::schemas(&mut definitions);
    definitions.sort_by(|(a, _), (b, _)| a.cmp(b));
    definitions.dedup_by(|(a, _), (b, _)| a == b);
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Tidegate flag file",
        "examples": [example()],
    });
    merge(&mut schema, to_json(&FlagFile::schema()));
    let definitions = definitions.into_iter().map(|(name, schema)| (name, to_json(&schema)));
    merge(&mut schema, json!({ "$defs": definitions.collect::<serde_json::Map<_, _>>() }));
    move_references(&mut schema);
    schema
}

fn example() -> Json {
    match serde_json::from_str(include_str!("../../../spec/examples/flags.json")) {
        Ok(example) => example,
        Err(error) => unreachable!("a test reads the example: {error}"),
    }
}

fn to_json(schema: &impl serde::Serialize) -> Json {
    match serde_json::to_value(schema) {
        Ok(json) => json,
        Err(error) => unreachable!("a schema has string keys only: {error}"),
    }
}

fn merge(schema: &mut Json, more: Json) {
    if let (Json::Object(schema), Json::Object(more)) = (schema, more) {
        schema.extend(more);
    }
}

/// utoipa refers to where OpenAPI keeps schemas; JSON Schema keeps them in `$defs`.
fn move_references(schema: &mut Json) {
    match schema {
        Json::Object(fields) => fields.iter_mut().for_each(|(name, value)| match value {
            Json::String(target) if name == "$ref" => *target = target.replace("#/components/schemas/", "#/$defs/"),
            value => move_references(value),
        }),
        Json::Array(items) => items.iter_mut().for_each(move_references),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::input;

    #[test]
    fn the_example_is_a_flag_file_without_issues() {
        let file: FlagFile = input::parse(&example()).unwrap();
        let (_, issues) = tidegate_core::compile(&file);
        assert_eq!(issues, []);
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let schema = flag_schema();
        let text = schema.to_string();
        for (at, _) in text.match_indices("\"$ref\":\"#") {
            let pointer = text[at + "\"$ref\":\"#".len()..].split('"').next().unwrap();
            assert!(schema.pointer(pointer).is_some(), "{pointer}");
        }
    }
}
