//! Chat templates as models bring them: `tests/published/templates.py` fetches them and says what transformers renders.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::*;

/// With a model's name first, so that what differs is told by model.
#[test]
#[ignore = "run by tests/published/templates.py"]
fn published_templates_render_what_transformers_renders() {
    let folder = std::env::var("HEADWATER_PUBLISHED").expect("HEADWATER_PUBLISHED names the folder that the script fills");
    let cases = std::fs::read_to_string(Path::new(&folder).join("templates.jsonl")).expect("cases");
    let (mut same, mut different) = (0, BTreeMap::<String, Vec<String>>::new());
    for case in cases.lines().map(|line| serde_json::from_str::<Value>(line).expect("case")) {
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        // Where transformers refuses, a system message is told to the user here.
        let Some(expected) = case["rendered"].as_str() else { continue };
        let message = |message: &Value| Message {
            role: match message["role"].as_str() {
                Some("system") => Role::System,
                Some("user") => Role::User,
                _ => Role::Assistant,
            },
            parts: vec![Part::Text(text(&message["content"]))],
        };
        let messages: Vec<Message> = case["messages"].as_array().expect("messages").iter().map(message).collect();
        let rendered = ChatTemplate::parse(&text(&case["template"]), "<s>", "</s>").and_then(|template| {
            let pieces = template.render(&messages, true).map_err(|error| error.to_string())?;
            Ok(pieces
                .into_iter()
                .map(|piece| match piece {
                    TemplatePiece::Template(text) | TemplatePiece::Text(text) | TemplatePiece::Source(_, text) => text,
                })
                .collect::<String>())
        });
        let complaint = match rendered {
            Ok(found) if found == expected => {
                same += 1;
                continue;
            }
            Ok(found) => {
                let at = found.bytes().zip(expected.bytes()).take_while(|(one, other)| one == other).count();
                let around = |text: &str| {
                    String::from_utf8_lossy(text.as_bytes().get(at.saturating_sub(20)..).unwrap_or_default())
                        .chars()
                        .take(80)
                        .collect::<String>()
                };
                format!("{} messages: at {at} {:?}, not {:?}", messages.len(), around(&found), around(expected))
            }
            Err(error) => format!("{} messages: {error}", messages.len()),
        };
        different.entry(text(&case["name"])).or_default().push(complaint);
    }
    for (name, complaints) in &different {
        println!("{name}:\n    {}", complaints.join("\n    "));
    }
    println!("{same} the same");
    assert!(different.is_empty() && same > 150, "{} templates differ", different.len());
}
