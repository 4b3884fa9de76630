use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

/// Reads a file to its end.
pub(super) fn parse(file_name: &str, bytes: &[u8]) -> Result<Parsed, Refusal> {
    super::parse(file_name, bytes, &Progress::default()).map_err(|error| match error {
        ParseError::Refused(refusal) => refusal,
        ParseError::Stopped(_) => panic!("nobody stopped it"),
    })
}

/// What a file gives, with the bytes that each paragraph was read from.
fn show(file_name: &str, bytes: &[u8]) -> String {
    let parsed = match parse(file_name, bytes) {
        Ok(parsed) => parsed,
        Err(refusal) => return format!("{file_name}: {} ({}): {}\n", refusal.code, refusal.media_type, refusal.reason),
    };
    let mut shown = format!("{file_name}: {} title {:?}\n", parsed.format.media_type(), parsed.title);
    for section in &parsed.sections {
        for (offset, line) in parsed.text[section.clone()].split_inclusive('\n').scan(section.start, |at, line| {
            *at += line.len();
            Some((*at - line.len(), line))
        }) {
            let line = line.trim_end_matches('\n');
            let source = parsed.map.source(offset..offset + line.len());
            writeln!(shown, "  {:?} <- {source:?} {:?}", line, String::from_utf8_lossy(&bytes[source.clone()])).unwrap();
        }
        shown.push_str("  --\n");
    }
    shown
}

#[test]
fn refusals_say_what_the_file_is() {
    let files: &[(&str, &[u8])] = &[
        ("lfs.txt", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"),
        ("lfs.html", b"\r\nversion https://git-lfs.github.com/spec/v1\r\noid sha256:4d7a\r\nsize 12345\r\n"),
        ("annex.md", b"/annex/objects/SHA256E-s31--4d7a.md\n"),
        ("a.txt", b""),
        ("a.txt", b" \r\n\t"),
        ("a.txt", "\u{feff}".as_bytes()),
        ("a.txt", b"%PDF-1.7 ..."),
        ("a.pdf", b"%PDF-1.7 ..."),
        ("a.md", b"\x89PNG\r\n\x1a\n"),
        ("a.docx", b"PK\x03\x04 word/document.xml"),
        ("a.html", b"\xff\xfeh\0t\0"),
        ("a.txt", b"ab\0cd"),
        ("a.txt", b"ab\xc3\x28cd"),
        ("a", b"\xc3"),
        ("a.svg", b"<svg xmlns='x'><script>1</script></svg>"),
        ("a.txt", b"{\\rtf1 hi}"),
        ("a.gif", b"GIF89a\0\0"),
        ("a.html", b"<html><head><title>T</title></head><body><script>x()</script></body>"),
        ("a.jsonl", b"{\"text\":\"ok\"}\n[\"text\"]\n"),
        ("a.jsonl", b"\n{\"text\":1}"),
        ("a.jsonl", b"{\"text\":\"\\ud800\"}"),
        ("a.jsonl", b"{\"text\":\"a\",\"text\":\"b\"}"),
        ("a.jsonl", b"{\"text\":\"a\"} x"),
        ("a.jsonl", b"{\"note\":\"a\"}"),
        ("a.jsonl", b"{\"text\":\" \"}"),
        ("a.jsonl", b"plain"),
    ];
    let shown: String = files.iter().map(|(name, bytes)| show(name, bytes)).collect();
    insta::assert_snapshot!(shown);
}

#[test]
fn text_and_markdown_are_verbatim() {
    let files: &[(&str, &[u8])] = &[
        ("a.txt", b"one\r\ntwo\r\n"),
        ("a", "\u{feff}mit Größe\n".as_bytes()),
        ("a.md", b"intro\n\n# The *Title* ##\n\ntext\n"),
        ("GIF89a.txt", b"GIF89a is a format"),
        ("a.html", b"no tag at all, 1 < 2"),
    ];
    let shown: String = files.iter().map(|(name, bytes)| show(name, bytes)).collect();
    insta::assert_snapshot!(shown);
}

#[test]
fn jsonl_records_are_traced() {
    let lines = concat!(
        "{\"id\":7,\"text\":\"plain\",\"more\":{\"text\":[1]}}\r\n",
        "\n",
        " {\"text\" : \"tab\\tand \\u00e9 \\ud83d\\ude00 end\"}\n",
        "{\"te\\u0078t\":\"a \\\"quote\\\"\"}"
    );
    insta::assert_snapshot!(show("a.jsonl", lines.as_bytes()) + &show("records", b"{\"text\":\"sniffed\"}"));
}

#[test]
fn html_shows_what_a_reader_sees() {
    let page = r#"<!doctype html>
<html><head><meta charset=utf-8><title>Ice &amp; snow
 store</title><style>p{}</style><body>
<nav><a href=/>Home</a></nav>
<h1>Dry  ice</h1>
<p>Below &minus;78.5&nbsp;&deg;C it <b>stays</b>
   solid.<br>Second line<p hidden>gone<p>Back
<div style="color:red; display : NONE"><div>no</div>no</div>
<ul><li>one<li aria-hidden=true>x<li>two</ul>
<table><tr><td>a<td>b<tr><th>c</th></table>
<pre>
 keep
   this</pre>
<script>if (a < b) "</p>"</script><template><p>t</template><svg><title>pic</title><text>s</text></svg>
<img src=x onerror=alert(1) alt=alt> tail &lt;p&gt; &#x1F600;
<!-- comment --><noscript>off</noscript>"#;
    insta::assert_snapshot!(show("page.html", page.as_bytes()));
    let small: &[(&str, &[u8])] = &[
        ("sniffed.txt", b"<!DOCTYPE HTML><p>really a page"),
        ("h1.htm", b"<h1>Only <i>heading</i></h1><p>x"),
        ("crlf.html", b"<p>a\r\nb &amp;\r\n c</p>"),
        ("entity.html", b"<p>&nGt;"),
        ("open.html", b"<p>a <div hidden>never closed"),
        ("bom.html", "\u{feff}<p>\u{e9}t\u{e9} <i>ok".as_bytes()),
        ("stray.html", b"</p></div>x</li><p>y"),
    ];
    insta::assert_snapshot!(small.iter().map(|(name, bytes)| show(name, bytes)).collect::<String>());
}

/// Whoever orders the end of the process does not wait for a page.
#[test]
fn parsers_end_when_they_are_told_to() {
    let progress = Progress::default();
    let files = [("a.html", "<p>one</p>"), ("a.xhtml", "<html><p>one</p></html>"), ("a.jsonl", "{\"text\":\"one\"}\n")];
    for (name, text) in files {
        super::parse(name, text.as_bytes(), &progress).unwrap();
    }
    progress.stop();
    for (name, text) in files {
        assert!(matches!(super::parse(name, text.as_bytes(), &progress), Err(ParseError::Stopped(_))), "{name}");
    }
}

#[test]
fn hostile_nesting_and_length_end() {
    for hostile in ["<div>", "<div hidden>", "<p hidden><b>", "</div>", "<a b=", "&", "&#", "<!--", "<svg><title>", "<table><tr><td>"] {
        let page = format!("<p>start {}", hostile.repeat(20_000));
        let _ = parse("a.html", page.as_bytes());
    }
    let deep = format!("{{\"x\":{}1{},\"text\":\"a\"}}", "[".repeat(50_000), "]".repeat(50_000));
    let _ = parse("a.jsonl", deep.as_bytes());
}

/// Verbatim runs are the file's bytes, and runs are in order and disjoint in both.
fn check_map(parsed: &Parsed, bytes: &[u8]) {
    let (mut text_end, mut source_end) = (0, 0);
    for (text, source, verbatim) in parsed.map.runs() {
        assert!(text.start >= text_end && source.start >= source_end, "runs out of order at {text:?}");
        (text_end, source_end) = (text.end, source.end);
        assert!(!verbatim || parsed.text.as_bytes()[text.clone()] == bytes[source.clone()], "{text:?} is not {source:?}");
    }
    assert!(text_end <= parsed.text.len() && source_end <= bytes.len());
}

fn markup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "<p>",
            "</p>",
            "<div hidden>",
            "</div>",
            "<li>",
            "<br>",
            "<pre>",
            "</pre>",
            "<script>",
            "</script>",
            "<title>",
            "</title>",
            "<td>",
            "<h1>",
            "</h1>",
            "&amp;",
            "&eacute;",
            "&#59;",
            "&nGt;",
            "&",
            ";",
            "\r\n",
            "\r",
            "\n",
            " ",
            "<",
            ">",
            "é",
            "<!--",
            "-->",
            "<b",
            "<nav>",
            "</nav>",
            "<svg/>",
            "<![CDATA[",
            "&#x1F600;",
            "<head>",
            "<body>",
        ])
        .prop_map(str::to_owned),
        "[a-zé ]{1,8}",
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), name in "[a-z]{0,3}\\.(txt|md|html|jsonl|bin)") {
        if let Ok(parsed) = parse(&name, &bytes) {
            check_map(&parsed, &bytes);
        }
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,200}", name in "a\\.(txt|md|html|jsonl)") {
        if let Ok(parsed) = parse(&name, text.as_bytes()) {
            check_map(&parsed, text.as_bytes());
        }
    }

    #[test]
    fn html_is_traced(page in markup()) {
        let page = format!("<p>{page}");
        if let Ok(parsed) = parse("a.html", page.as_bytes()) {
            check_map(&parsed, page.as_bytes());
        }
    }

    #[test]
    fn jsonl_gives_back_what_json_says(texts in prop::collection::vec("\\PC{0,20}[a-z\\n\"\\\\\t]{1,10}x", 1..6)) {
        let lines: Vec<String> = texts.iter().map(|text| serde_json::json!({ "n": 1, "text": text }).to_string()).collect();
        let file = lines.join("\n");
        let parsed = parse("a.jsonl", file.as_bytes()).unwrap();
        check_map(&parsed, file.as_bytes());
        let read: Vec<&str> = parsed.sections.iter().map(|section| &parsed.text[section.clone()]).collect();
        prop_assert_eq!(read, texts);
    }
}
