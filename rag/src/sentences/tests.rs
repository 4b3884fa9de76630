use proptest::prelude::*;

use super::*;

fn texts(text: &str) -> Vec<&str> {
    split(text).iter().map(|sentence| sentence.of(text)).collect()
}

#[test]
fn prose() {
    for (text, expected) in [
        ("One. Two! Three? Four", vec!["One.", "Two!", "Three?", "Four"]),
        ("A ratio of 0.25 is fine. So is 1.5 mg.", vec!["A ratio of 0.25 is fine.", "So is 1.5 mg."]),
        ("Keep 2 °C to 8 °C. Never freeze it.", vec!["Keep 2 °C to 8 °C.", "Never freeze it."]),
        ("Use a buffer, e.g. glycol. It is slow.", vec!["Use a buffer, e.g. glycol.", "It is slow."]),
        ("John D. Haynes introduced it in 1971. It stayed.", vec!["John D. Haynes introduced it in 1971.", "It stayed."]),
        ("Such as hepatitis B. The rest is fine.", vec!["Such as hepatitis B.", "The rest is fine."]),
        ("Sold in the U.S. The rule holds.", vec!["Sold in the U.S.", "The rule holds."]),
        ("The U.S. Food Administration said so.", vec!["The U.S. Food Administration said so."]),
        ("See No. 5 and Fig. 2. Then stop.", vec!["See No. 5 and Fig. 2.", "Then stop."]),
        ("He said \"stop.\" Then he left.", vec!["He said \"stop.\"", "Then he left."]),
        ("Wait... and see. Done.", vec!["Wait... and see.", "Done."]),
        ("There are women singing . Delmar is convinced .", vec!["There are women singing .", "Delmar is convinced ."]),
        ("第一句。第二句！", vec!["第一句。", "第二句！"]),
        ("A line\nwrapped here. Next\none.", vec!["A line\nwrapped here.", "Next\none."]),
        ("At https://a.example/b.c it is. Yes.", vec!["At https://a.example/b.c it is.", "Yes."]),
        ("", vec![]),
        (" \n \n", vec![]),
        ("...", vec!["..."]),
    ] {
        assert_eq!(texts(text), expected, "{text:?}");
    }
}

#[test]
fn every_script_has_sentences() {
    for (text, expected) in [
        ("疫苗保存在冷库。“开封后丢弃。”警报响起！", vec!["疫苗保存在冷库。", "“开封后丢弃。”", "警报响起！"]),
        ("保管します｡「捨てる。」と書く。", vec!["保管します｡", "「捨てる。」", "と書く。"]),
        ("टीके ठंडे रखें। खुली शीशी फेंक दें॥", vec!["टीके ठंडे रखें।", "खुली शीशी फेंक दें॥"]),
        ("هل يحفظ اللقاح؟ نعم يحفظ. انتهى", vec!["هل يحفظ اللقاح؟", "نعم يحفظ.", "انتهى"]),
        ("ویکسین سرد رکھیں۔ کھلی شیشی پھینک دیں۔", vec!["ویکسین سرد رکھیں۔", "کھلی شیشی پھینک دیں۔"]),
        ("រក្សាទុកវ៉ាក់សាំង។ បោះចោល។", vec!["រក្សាទុកវ៉ាក់សាំង។", "បោះចោល។"]),
        ("백신은 보관합니다. 폐기합니다.", vec!["백신은 보관합니다.", "폐기합니다."]),
        (
            "เก็บวัคซีนไว้ที่อุณหภูมิ 2 ถึง 8 องศาเซลเซียส ขวดที่เปิดแล้วต้องทิ้งหลังจาก 28 วัน",
            vec!["เก็บวัคซีนไว้ที่อุณหภูมิ 2 ถึง 8 องศาเซลเซียส", "ขวดที่เปิดแล้วต้องทิ้งหลังจาก 28 วัน"],
        ),
        ("นาย สมชาย ใจดี", vec!["นาย สมชาย ใจดี"]),
        ("二度から２．５度で保管する．「開封．」後は廃棄する．", vec!["二度から２．５度で保管する．", "「開封．」", "後は廃棄する．"]),
        ("疫苗保存在2.5度.开封后丢弃!警报响起", vec!["疫苗保存在2.5度.", "开封后丢弃!", "警报响起"]),
    ] {
        assert_eq!(texts(text), expected, "{text:?}");
    }
}

#[test]
fn lines_of_a_block_quote_belong_together() {
    for (text, expected) in [
        ("> The Rowan guard\n> arrives at noon. It\n>\n> leaves.", vec!["The Rowan guard\n> arrives at noon.", "It", "leaves."]),
        ("> A wrapped\nlazy line.\n> Next\n> one.", vec!["A wrapped\nlazy line.", "Next\n> one."]),
        ("> > Deeper\n>> and on.\n> Then. Last", vec!["Deeper\n>> and on.", "Then.", "Last"]),
        ("> [!NOTE]\n> Keep it\n> cold.", vec!["Keep it\n> cold."]),
        ("> - one\n>   more\n> - two", vec!["one\n>   more", "two"]),
        ("She said:\n> Keep it cold.", vec!["She said:", "Keep it cold."]),
        ("cut off. Goes\n> on here.", vec!["cut off.", "Goes\n> on here."]),
        ("Done।\n> B.  B.", vec!["Done।", "B.  B."]),
        ("Doses of\n>5 mg are toxic.", vec!["Doses of\n>5 mg are toxic."]),
    ] {
        assert_eq!(texts(text), expected, "{text:?}");
    }
}

#[test]
fn the_first_edition_cuts_as_it_did() {
    let first = |text: &'static str| split_by(text, Edition::First).iter().map(|sentence| sentence.of(text)).collect::<Vec<_>>();
    assert_eq!(first("第一句。“第二句！”第三"), ["第一句。", "“第二句！", "”第三"]);
    assert_eq!(first("टीके रखें। फेंक दें॥ هل؟ نعم."), ["टीके रखें। फेंक दें॥ هل؟ نعم."]);
}

#[test]
fn markdown() {
    let text = "# Storing\n\nFirst one. Second one.\n\n| a | b |\n|---|---|\n| 1. x | 2 |\n\n- Item one. More\n  of it.\n- Item two\n1. Third\n\n---\n\n```\ncode. Here\n```\n> Quoted. Text.\n";
    let shown: Vec<String> = split(text).iter().map(|sentence| format!("{:?} {:?}", sentence.kind, sentence.of(text))).collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn long_sentences_are_cut_at_spaces() {
    let text = "word ".repeat(400);
    let pieces = split(&text);
    assert!(pieces.len() >= 4 && pieces.iter().all(|piece| piece.kind == Kind::Piece && piece.end - piece.start <= MAX_SENTENCE_BYTES));
    assert_eq!(pieces.iter().flat_map(|piece| piece.of(&text).split_whitespace()).count(), 400);
    let solid = "é".repeat(1000);
    assert_eq!(split(&solid).iter().map(|piece| piece.of(&solid).len()).sum::<usize>(), solid.len());
}

/// Text that has every feature the splitter knows.
pub(crate) fn any_text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "[A-Za-z]{1,8}",
        Just(". ".to_owned()),
        Just("? ".to_owned()),
        Just(" ".to_owned()),
        Just("\n".to_owned()),
        Just("\n\n".to_owned()),
        Just("\n- ".to_owned()),
        Just("\n> ".to_owned()),
        Just("\n# ".to_owned()),
        Just("\n| ".to_owned()),
        Just("\n```\n".to_owned()),
        Just("0.25".to_owned()),
        Just(" e.g. ".to_owned()),
        Just(" B. ".to_owned()),
        Just("…)".to_owned()),
        Just("é".to_owned()),
        Just("。".to_owned()),
        Just("疫苗".to_owned()),
        Just("।".to_owned()),
        "\\PC{0,4}",
    ];
    proptest::collection::vec(part, 0..60).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn spans_are_ordered_and_lose_no_word(text in any_text()) {
        let sentences = split(&text);
        let mut at = 0;
        for sentence in &sentences {
            prop_assert!(sentence.start >= at && sentence.end > sentence.start);
            let own = &text[sentence.start..sentence.end];
            prop_assert_eq!(own.trim(), own);
            at = sentence.end;
        }
        // whatever is left out is markup
        let kept: usize = sentences.iter().map(|s| s.of(&text).chars().filter(|c| c.is_alphabetic()).count()).sum();
        prop_assert_eq!(kept, text.chars().filter(|c| c.is_alphabetic()).count());
    }

    #[test]
    fn cutting_between_sentences_changes_none(text in any_text(), at in any::<prop::sample::Index>()) {
        let sentences = split(&text);
        prop_assume!(!sentences.is_empty());
        let cut = sentences[at.index(sentences.len())];
        prop_assume!(!sentences.iter().any(|s| s.kind == Kind::Piece));
        // a cut keeps the marker of the line with what follows it
        let line = text[..cut.start].rfind('\n').map_or(0, |n| n + 1);
        let begins_line = !sentences.iter().any(|other| other.start < cut.start && other.end > line);
        let cut_at = if begins_line { line } else { cut.start };
        // in the middle of a line it may look like a marker, and at the start of one be one
        prop_assume!(begins_line || Line::read(text[cut_at..].lines().next().unwrap_or_default(), Edition::Second).shape == Shape::Text);
        let whole: Vec<&str> = sentences.iter().map(|s| s.of(&text)).collect();
        let (left, right) = text.split_at(cut_at);
        let mut parts: Vec<&str> = split(left).iter().map(|s| s.of(left)).collect();
        parts.extend(split(right).iter().map(|s| s.of(right)));
        prop_assert_eq!(parts, whole);
    }
}
