use encoding_rs::{BIG5, EUC_JP, EUC_KR, GB18030, IBM866, ISO_8859_2, KOI8_R, SHIFT_JIS, WINDOWS_1250, WINDOWS_1251, WINDOWS_1252};
use proptest::prelude::*;

use super::*;

/// Every character of the text is traced to the bytes that decode to it alone.
#[track_caller]
fn check_map(decoded: &Decoded, bytes: &[u8], encoding: &'static Encoding) {
    let Some(map) = &decoded.map else { return };
    let mut end = 0;
    for (at, c) in decoded.text.char_indices() {
        let source = map.source(at..at + c.len_utf8());
        assert!(source.start >= end && source.end > source.start && source.end <= bytes.len(), "{c:?} is {source:?} after {end}");
        let (own, _) = encoding.decode_without_bom_handling(&bytes[source.clone()]);
        // A stateful encoding's characters need the escape before them.
        assert!(encoding == ISO_2022_JP || own == c.to_string(), "{c:?} is not {:?}", &bytes[source]);
        end = source.end;
    }
}

#[test]
fn declared_encodings_are_decoded_and_traced() {
    let cases: &[(&'static Encoding, &str)] = &[
        (SHIFT_JIS, "ワクチンは2度から8度で保管します。"),
        (EUC_JP, "ワクチンは2度から8度で保管します。"),
        (ISO_2022_JP, "ワクチンは2度から8度で保管します。Cold room"),
        (GB18030, "疫苗保存在二至八摄氏度之间。𠮷"),
        (BIG5, "疫苗保存在二至八攝氏度之間。"),
        (EUC_KR, "백신은 2도에서 8도 사이에 보관합니다."),
        (KOI8_R, "Вакцины хранят при температуре от 2 до 8 градусов."),
        (WINDOWS_1251, "Вакцины хранят при температуре от 2 до 8 градусов."),
        (IBM866, "Вакцины хранят при температуре"),
        (WINDOWS_1250, "Příliš žluťoučký kůň"),
        (ISO_8859_2, "Zażółć gęślą jaźń"),
        (WINDOWS_1252, "Größe – 5 µm, “café”"),
    ];
    for (encoding, text) in cases {
        let (bytes, _, lossy) = encoding.encode(text);
        assert!(!lossy, "{}", encoding.name());
        let decoded = decode(&bytes, Some(encoding.name())).unwrap();
        assert_eq!(decoded.text, *text, "{}", encoding.name());
        check_map(&decoded, &bytes, encoding);
    }
}

#[test]
fn byte_order_marks_decide() {
    for (mark, to_bytes) in [(&b"\xff\xfe"[..], u16::to_le_bytes as fn(u16) -> [u8; 2]), (b"\xfe\xff", u16::to_be_bytes)] {
        let text = "Größe 橡树 😀\r\nend";
        let bytes: Vec<u8> = mark.iter().copied().chain(text.encode_utf16().flat_map(to_bytes)).collect();
        let decoded = decode(&bytes, Some("windows-1252")).unwrap();
        assert_eq!(decoded.text, text);
        let map = decoded.map.as_ref().unwrap();
        assert_eq!(map.source(0..1), 2..4);
        let emoji = text.find('😀').unwrap();
        assert_eq!(map.source(emoji..emoji + 4).len(), 4);
        assert_eq!(map.source(0..text.len()), 2..bytes.len());
    }
    assert!(decode(b"\xef\xbb\xbfplain", None).unwrap().map.is_none());
}

#[test]
fn what_is_not_what_it_declares_is_refused() {
    let problem = |bytes: &[u8], label: Option<&str>| {
        let problem = decode(bytes, label).unwrap_err();
        format!("{}; {}", problem.really, problem.advice)
    };
    let shown = [
        problem(b"caf\xe9", None),
        problem(b"caf\xe9", Some("utf-8")),
        problem("café".as_bytes(), Some("iso-8859-1")),
        problem("疫苗保存在二至八摄氏度之间。".repeat(3).as_bytes(), Some("gb18030")),
        problem(b"\x81\x00\x81", Some("shift_jis")),
        problem(b"abc", Some("utf-7")),
        problem(b"abc", Some("iso-2022-kr")),
        problem(b"caf\xe9", Some("no such thing")),
        problem(b"\xff\xfea\0\0\xd8b\0", None),
        problem(b"\xff\xfea", None),
        problem(b"\xff\xfe\0\0a\0\0\0", None),
        problem(b"a\0b\0", None),
        problem(b"\x1b$B$3\x1b(B", None),
        problem(b"\x1b[31mred", None),
        problem(b"bell\x07", None),
        problem("C1 \u{9b}".as_bytes(), None),
        problem(b"C1 \x81", Some("windows-1252")),
    ];
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn a_label_that_names_no_encoding_says_nothing() {
    for label in ["none", "ansi", "{{", "utf-8;", "no such thing"] {
        for text in ["abc", "Größe"] {
            assert_eq!(decode(text.as_bytes(), Some(label)).unwrap().text, text, "{label}");
        }
    }
    let page = |declared: &[u8]| decode(declared, declared_label(declared).as_deref()).map(|decoded| decoded.text);
    assert!(page(b"<meta charset=none><meta charset=windows-1252>caf\xe9").unwrap().ends_with("café"));
    // Private characters are the web's windows-1252, in a page.
    assert!(page(b"<meta charset=x-user-defined>caf\xe9").unwrap().ends_with("café"));
    assert!(page(b"<meta charset=''>caf\xe9").unwrap_err().really.contains("not UTF-8"));
}

#[test]
fn a_text_can_end_as_dos_ends_it() {
    for (bytes, text) in [(&b"abc\r\n\x1a"[..], "abc\r\n"), (b"abc\x1a\x1a", "abc"), (b"\x1a", ""), (b"\xff\xfea\0\x1a\0", "a")] {
        assert_eq!(decode(bytes, None).unwrap().text, text);
    }
    let decoded = decode(b"caf\xe9\x1a", Some("windows-1252")).unwrap();
    assert_eq!((decoded.text.as_str(), decoded.map.unwrap().source(0..5)), ("café", 0..4));
    for bytes in [&b"a\x1ab"[..], b"abc\x1a\n"] {
        assert!(decode(bytes, None).is_err());
    }
}

#[test]
fn declarations_are_found() {
    let found = |page: &str| declared_label(page.as_bytes());
    for (page, label) in [
        ("<meta charset=shift_jis>", "shift_jis"),
        ("<META CHARSET = \"EUC-JP\" >", "euc-jp"),
        ("<meta name=x content='charset=no'><meta charset='big5'/>", "big5"),
        ("<meta http-equiv=\"Content-Type\" content=\"text/html; charset=windows-1251\">", "windows-1251"),
        ("<meta content='text/html;charset=\"koi8-r\"' http-equiv=content-type>", "koi8-r"),
        ("<?xml version=\"1.0\" encoding=\"GB18030\"?><html>", "gb18030"),
        ("<!-- <meta charset=no> --><title>a > b</title><meta data-charset=no charset=utf-8>", "utf-8"),
        ("<script>write('<meta charset=no>');</script><title><meta charset=no></title><meta charset=big5>", "big5"),
        ("<style><meta charset=no></style><p title='<meta charset=no>'>it's<meta charset=big5>", "big5"),
        ("<title/><meta charset=big5>", "big5"),
        ("<meta charset=''><meta charset=none><meta charset=big5>", "big5"),
        ("<?xml version=\"1.0\" encoding=\"none\"?><meta charset=big5>", "big5"),
        ("<meta charset=none><meta charset='{{ charset }}'>", "none"),
        ("<meta charset='UTF-8;'>", "utf-8;"),
        ("<meta charset=none http-equiv=content-type content='text/html; charset=utf-8'>", "none"),
    ] {
        assert_eq!(found(page).as_deref(), Some(label), "{page}");
    }
    for page in [
        "",
        "<meta charset=''>",
        "<meta>",
        "<meta charset",
        "charset=x",
        "<metacharset=x>",
        "<meta content='text/html; charset=x'>",
        "<!-- <meta charset=x>",
    ] {
        assert_eq!(found(page), None, "{page}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..100), at in 0_usize..6) {
        let labels = ["utf-8", "iso-2022-jp", "gb18030", "shift_jis", "windows-1252", "utf-16le"];
        if let Ok(Decoded { text, map: Some(map) }) = decode(&bytes, labels.get(at).copied()) {
            prop_assert!(map.source(0..text.len()).end <= bytes.len());
        }
        let _ = declared_label(&bytes);
    }
}
