use serde_json::json;

use super::*;

mod published;

const CHATML: &str = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
const GEMMA: &str = "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}";

fn message(role: Role, parts: &[Part]) -> Message {
    Message { role, parts: parts.to_vec() }
}

fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}

/// Pieces as one text, with marks around what is not the template's.
fn shown(pieces: &[TemplatePiece]) -> String {
    let piece = |piece: &TemplatePiece| match piece {
        TemplatePiece::Template(text) => text.clone(),
        TemplatePiece::Text(text) => format!("«{text}»"),
        TemplatePiece::Source(at, text) => format!("[{at}:{text}]"),
    };
    pieces.iter().map(piece).collect()
}

fn render(template: &str, messages: &[Message]) -> Result<String, String> {
    let template = ChatTemplate::parse(template, "<bos>", "<eos>")?;
    template.render(messages, true).map(|pieces| shown(&pieces)).map_err(|error| error.to_string())
}

#[test]
fn texts_and_sources_come_back_apart() {
    let messages = [
        message(Role::System, &[text("Be brief.")]),
        message(
            Role::User,
            &[text("Read:\n"), Part::Source("a <|im_end|> {{ 1 }}".into()), text("\n"), Part::Source("b".into()), text("\nWhy? ")],
        ),
    ];
    let expected = "<|im_start|>system\n«Be brief.»<|im_end|>\n<|im_start|>user\n«Read:\n»[0:a <|im_end|> {{ 1 }}]«\n»[1:b]«\nWhy?» <|im_end|>\n<|im_start|>assistant\n";
    assert_eq!(render(CHATML, &messages).expect("renders"), expected);
}

#[test]
fn a_refused_system_message_is_told_to_the_user() {
    let messages = [message(Role::System, &[text("Be brief.")]), message(Role::User, &[text(" Why? ")])];
    let told = "<bos><start_of_turn>user\n«Be brief.»«\n\n»« Why?»<end_of_turn>\n<start_of_turn>model\n";
    assert_eq!(render(GEMMA, &messages).expect("renders"), told);
    let dropped = "{% for message in messages %}{% if message.role == 'user' %}U:{{ message.content }}{% endif %}{% endfor %}";
    assert_eq!(render(dropped, &messages).expect("renders"), "U:«Be brief.»«\n\n»« Why?» ");
    let alone = [message(Role::System, &[text("Be brief.")])];
    assert!(render(GEMMA, &alone).expect_err("no user").contains("System role not supported"));
    let assistant = [message(Role::Assistant, &[text("Hm.")])];
    assert!(render(GEMMA, &assistant).expect_err("order").contains("must alternate"));
}

/// As transformers 5 reads `chat_template`.
#[test]
fn the_template_is_the_one_named_default() {
    let read = |value: serde_json::Value| {
        let values = json!({ "chat_template": value });
        configured(values.as_object().expect("an object")).map(|template| template.map(str::to_owned))
    };
    let (text, tools) = ("{{ messages }}", "{{ tools }}");
    for found in [
        json!(text),
        json!({ "default": text, "tool_use": tools }),
        json!({ "rag": tools, "default": text }),
        json!([{ "name": "tool_use", "template": tools }, { "name": "default", "template": text }]),
        json!([{ "name": "default", "template": tools }, { "name": "default", "template": text }]),
    ] {
        assert_eq!(read(found.clone()), Ok(Some(text.to_owned())), "{found}");
    }
    for none in [json!(null), json!({}), json!([]), json!({ "tool_use": tools }), json!([{ "name": "rag", "template": tools }])] {
        assert_eq!(read(none.clone()), Ok(None), "{none}");
    }
    for (broken, why) in [
        (json!({ "default": null }), "a default that is no text"),
        (json!({ "default": { "template": text } }), "a default that is no text"),
        (json!([{ "name": "default" }]), "a default that is no text"),
        (json!([{ "name": "default", "template": 7 }]), "a default that is no text"),
        (json!(7), "neither a text nor named ones"),
        (json!(true), "neither a text nor named ones"),
    ] {
        let reason = read(broken.clone()).expect_err("it is broken");
        assert!(reason.contains(why), "{broken}: {reason}");
    }
    assert_eq!(configured(&Map::new()), Ok(None));
}

#[test]
fn what_templates_do_is_understood() {
    let user = |content: &str| [message(Role::User, &[text(content)])];
    for (template, content, expected) in [
        ("{{ messages[0].content.strip() }}", "  a ", "«a»"),
        ("{{ messages[0]['content'] | trim | length > 0 }}", "", "False"),
        ("{{ messages[0].content }}{{ strftime_now('%d %b %Y, %-m') }}", "a", "«a»26 Jul 2024, 7"),
        ("{{ messages[0].content }}{{ {'a': '<b>', 'c': [1, none]} | tojson }}", "a", "«a»{\"a\": \"<b>\", \"c\": [1, null]}"),
        ("{{ messages[0].content }}{{ {'a': '\\\\u003c'} | tojson(indent=2) }}", "a", "«a»{\n  \"a\": \"\\\\u003c\"\n}"),
        ("{%- generation -%} {{ messages[0].content }} {%- endgeneration -%}\n!", "a", "«a»!"),
        ("{% for m in messages %}{{ m.content }}{% break %}{% endfor %}", "a", "«a»"),
        ("{{ 'ab'.removeprefix('a') }}{{ messages[0].content }}", "a", "b«a»"),
        ("{% if tools is not none and tools | length %}!{% endif %}{{ tools is iterable }}{{ messages[0].content }}", "a", "False«a»"),
        ("  {% if true %}\n{{ messages[0].content }}\n  {% endif %}\n", "a", "«a»\n"),
    ] {
        assert_eq!(render(template, &user(content)).expect(template), expected, "{template}");
    }
}

#[test]
fn what_cannot_be_kept_apart_is_refused() {
    let messages = [message(Role::User, &[Part::Source("a".into())])];
    for (template, complaint) in [
        ("{{ messages[0].content }}{{ messages[0].content }}", "repeats a source"),
        ("{{ messages[0].content | upper }}", "leaves out"),
        ("nothing", "leaves out"),
        ("{{ messages[0].content[:-1] }}", "cuts"),
        ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "too long"),
        ("{{ 'a' * 9999999 }}", "more than"),
        ("{{ 1 / 0 }}", "fails"),
        ("{% include 'secret' %}", "fails"),
    ] {
        let error = render(template, &messages).expect_err(template);
        assert!(error.contains(complaint), "{template}: {error}");
    }
    assert!(ChatTemplate::parse("{% if %}", "", "").is_err());
    assert!(ChatTemplate::parse(&"a".repeat(TEMPLATE_BYTES_MAX + 1), "", "").is_err());
}
