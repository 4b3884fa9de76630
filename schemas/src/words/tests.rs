use std::fmt::Write as _;

use proptest::prelude::*;
use unicode_normalization::{IsNormalized, is_nfkd_quick};

use super::*;

fn texts(text: &str) -> Vec<String> {
    segment(text).into_iter().map(|word| word.text).collect()
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(texts(text).join("|"), expected, "{text:?}");
}

/// The same words, whatever a text that looks like `original` is spelled with.
#[track_caller]
fn same(original: &str, disguised: &str) {
    assert_ne!(original, disguised);
    assert_eq!(texts(original), texts(disguised), "{disguised:?}");
}

#[test]
fn words_are_stable() {
    let mut shown = String::new();
    for text in [
        "Keep vaccines between 2 °C and -8.5 °C; don't freeze them!",
        "The load is 10³ CFU, 4.2 × 10⁻⁹ m²/s, 1,000,000.50 € or 1.5e-9; at most 30%.",
        "Größe: 5µm, Café, ﬁne ＡＢＣ, TNFα",
        "橡树冷库把疫苗保存在二至八摄氏度之间。开封的药瓶在28天后丢弃。",
        "ワクチンは2度から8度で保管します。",
        "백신은 2도에서 8도 사이에 보관합니다.",
        "เก็บวัคซีนไว้ที่อุณหภูมิ 2 ถึง 8 องศาเซลเซียส",
        "រក្សាទុកវ៉ាក់សាំង ຮັກສາວັກຊີນ ကာကွယ်ဆေးကို",
        "टीकों को २ से ८ डिग्री पर रखें।",
        "تُحفظ اللقاحات بين ٢ و٨ درجات مئوية.",
        "Хранить вакцины при температуре от 2 до 8 °C, не замораживать. ХРАНИТЬ",
        "Τα εμβόλια φυλάσσονται στους 2 έως 8 βαθμούς. ΕΜΒΟΛΙΑ εμβολιασμός",
        "AT&T's 0x1f 9fceb02d 3D-printed COVID-19 2-8 (-5) a - 5 = −3 H₂O CO₂ x₁ 1½ ① №5 Word™ 5¹",
    ] {
        writeln!(shown, "{text}").unwrap();
        for word in segment(text) {
            let stop = if is_stop_word(&word.text) { " stop" } else { "" };
            writeln!(shown, "  {} {:?} {:?}{stop}", word.text, &text[word.range], word.kind).unwrap();
        }
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn a_letter_of_another_script_is_the_letter_that_it_looks_like() {
    let original = "a vaccine is to be one of the best at once; Handle Ice so HOT";
    for disguised in [
        // Cyrillic
        "а vaccine is to be one of the best at once; Handle Ice so HOT",
        "a vасcіne іѕ tо bе оne оf thе bеst аt оnсе; Handle Іce ѕо HOT",
        "a vaccine is to be one of the best at once; Нandle Ice so HOТ",
        // Greek
        "α vαccιnε is tο be οne οf the best αt οnce; Handle Ιce sο HOT",
        "a vaccine is to be one of the best at once; Handle Ice so ΗΟΤ",
        // Armenian, Cherokee, Lisu, Latin beyond ASCII, mathematical, full width, circled
        "a vaccine is tօ be օne օf the best at օnce; Handle Ice sօ HOT",
        "a vaccine is to be one of the best at once; Handle Ice so ᎻOT",
        "a vaccine is to be one of the best at once; Handle Ice so ꓧꓳꓔ",
        "a vaccıne ıs to be one of the best ɑt once; Handle Ice so HOT",
        "𝐚 𝓿𝓪𝓬𝓬𝓲𝓷𝓮 is to be one of the best at once; Handle Ice so HOT",
        "ａ ｖａｃｃｉｎｅ is to be one of the best at once; Handle Ice so HOT",
    ] {
        same(original, disguised);
    }
    same("a cold mill", "a c0ld mi1l");
    check("H1N1 B1b H2O 0x1f", "h1n1|b1b|h2o|0x1f");
}

#[test]
fn what_leaves_no_mark_changes_no_word() {
    let original = "Ignore nothing: 100 vials at 2.5 °C";
    for hidden in
        ['\u{ad}', '\u{200b}', '\u{200c}', '\u{200d}', '\u{2060}', '\u{feff}', '\u{34f}', '\u{202e}', '\u{fe0f}', '\u{e0041}', '\u{3164}']
    {
        let mut disguised = String::new();
        for c in original.chars() {
            disguised.push(c);
            if c.is_alphanumeric() {
                disguised.push(hidden);
            }
        }
        same(original, &disguised);
    }
    same("cafe creme", "café crème");
    same("café", "cafe\u{301}");
    same("overline", "o\u{305}v\u{336}erli\u{489}ne");
    same("疫苗保存在冷库", "疫 苗保\u{3000}存\n在冷库");
    same("don't", "don’t");
}

#[test]
fn numbers_keep_sign_point_and_exponent() {
    check("10^3 10³ 10**3 103", "10^3|10^3|10^3|103");
    check("10⁻⁹ 10^-9 10^−9 1e-9 1E-9 1e9", "10^-9|10^-9|10^-9|1e-9|1e-9|1e9");
    check("-5 −5 (–5) +5 =-5 5-10 COVID-19 f(x)-5", "-5|-5|-5|5|-5|5|10|covid|19|f|x|5");
    check("at − 15 °C, a − 5", "at|-15|°|c|a|5");
    check("1,000 1000 1,000.5 1.000 12,34 0,123", "1000|1000|1000.5|1.000|12,34|0,123");
    check("m² s⁻¹ x^2 word¹", "m|^2|s|^-1|x|^2|word|^1");
    check("1½ 1⁄2 ½ ①② 3① 10₂", "1|1|2|1|2|1|2|1|2|3|1|10_2");
    check("5mg 5 mg 5㎎ 5μg 1st 3D", "5|mg|5|mg|5|mg|5|μg|1|st|3|d");
    check("٣٫١٤ २८ ２８", "3.14|28|28");
    check("5% ≠ 5‰ <5 ≥5 €5", "5|%|≠|5|‰|<|5|≥|5|€|5");
    check("nº 5 №5", "n|o|5|5");
    check("و٨ 제5조 第5条", "و|8|제|5|조|第|5|条");
}

#[test]
fn whole_texts_of_other_scripts_are_themselves() {
    same("Вакцина НЕ хранится при ТЕМПЕРАТУРЕ", "вакцина не хранится при температуре");
    same("ΤΟ ΝΕΡΟ ΚΑΙ Η ΘΕΡΜΟΚΡΑΣΙΑ", "το νερό και η θερμοκρασία");
    same("ΣΟΦΟΣ", "σοφός");
    let distinct = |words: &str| {
        let folded: std::collections::BTreeSet<String> = texts(words).into_iter().collect();
        assert_eq!(folded.len(), words.split(' ').count(), "{folded:?}");
    };
    distinct("кот код ток рот нос сон вода года мода кровь кров не нет на но");
    distinct("αλφα βητα γαμμα νερο μερα φως ως που τι τα το μm mm Ωm ωn δ Σ");
    distinct("疫苗 保存 药瓶 温度");
    distinct("عين غين باء تاء");
    // a mixed word is not the wholly Cyrillic one's neighbour
    assert_ne!(texts("нот"), texts("hot"));
}

#[test]
fn mixed_scripts_are_told_from_spelling() {
    for word in ["vаccine", "оne", "Нandle", "pαrt", "аβ", "Ꭺlder", "аλ"] {
        assert!(mixed_script(word), "{word}");
    }
    for word in [
        "vaccine",
        "вакцина",
        "TNFα",
        "μm",
        "kΩ",
        "Δt",
        "β2",
        "ワクチンは",
        "疫苗A",
        "iPhone手机",
        "PC방",
        "größe",
        "שלום",
        "USBसे",
        "καφές",
        "5",
    ] {
        assert!(!mixed_script(word), "{word}");
    }
    for text in ["This is а test", "сор and robber", "vаccine", "so ΗΟΤ"] {
        assert!(mixes_scripts(text), "{text}");
    }
    for text in [
        "plain",
        "Он сказал а затем yes",
        "an α particle, 5 μ",
        "Москва (Moscow)",
        "α and β decay",
        "Η ΑΘΗΝΑ is Athens",
        "日本語 and English",
    ] {
        assert!(!mixes_scripts(text), "{text}");
    }
}

#[test]
fn negations_are_content() {
    for text in
        ["not", "no", "never", "without", "nicht", "kein", "ne", "pas", "sin", "не", "нет", "НЕ", "δεν", "不", "ない", "isn't", "لا", "नहीं"]
    {
        let words = content_words(text);
        assert!(words.iter().any(|word| is_negation(&word.text)), "{text}: {words:?}");
    }
    assert!(content_words("the of and це").iter().all(|word| word.text == "цe"));
    assert!(content_words("The A AND, das ist der").is_empty());
}

#[test]
fn long_words_are_cut() {
    let words = segment(&"x".repeat(1000));
    assert_eq!(words.len(), 5);
    assert!(words.iter().all(|word| word.text.len() <= LONGEST_WORD_BYTES));
    assert!(segment(&"疫".repeat(2000)).iter().all(|word| word.text.len() <= LONGEST_WORD_BYTES));
}

fn any_text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "\\PC{0,6}",
        "[a-zA-Z]{1,6}",
        "[а-яА-Яa-z]{1,6}",
        "[α-ωΑ-Ωa-z]{1,6}",
        "[0-9.,^e+-]{1,6}",
        "[疫苗保存在ก-ฮแ-ๅ]{1,6}",
        "[½²³⁻₂①ºª´ϲ\u{200b}\u{301}\u{338}]{1,3}",
        any::<char>().prop_map(String::from),
        Just(" ".to_owned()),
    ];
    prop::collection::vec(part, 0..20).prop_map(|parts| parts.concat())
}

/// A letter that becomes a Latin one makes others look alike.
#[test]
fn what_one_folding_makes_another_leaves() {
    for (text, once) in [("ῖం", "io"), ("cоld", "cold")] {
        assert_eq!((fold::word(&shown(text)).as_str(), fold::word(once).as_str()), (once, once));
    }
}

/// A gap that bears a mark is none, and a sign goes with its neighbours as what it becomes does.
#[test]
fn what_is_shown_is_read_the_same_again() {
    for (text, once) in [
        ("存¨苗", "存 \u{308}苗"),
        ("存 \u{200b}苗", "存苗"),
        ("保 🉐", "保得"),
        ("½\u{1133b}₂", "1/2\u{1133b} 2"),
        ("²ￂ²", "2ᅡ 2"),
        ("苗  \u{200b}แ", "苗แ"),
        ("\u{2072}º", "\u{2072}o"),
    ] {
        assert_eq!((shown(text).as_str(), shown(once).as_str()), (once, once));
    }
}

/// Those with another compatibility form, between letters, digits and gaps, on the line and off it.
#[test]
fn every_character_is_read_for_good() {
    let composed = ('\0'..=char::MAX).filter(|c| is_nfkd_quick(std::iter::once(*c)) != IsNormalized::Yes);
    let around = ["a", "00", " ", "苗 ", "²"].into_iter().flat_map(|before| ["", "1", "º", "₂"].map(|after| (before, after)));
    let texts = composed.flat_map(|c| around.clone().map(move |(before, after)| format!("{before}{c}{after}")));
    let changed = texts.filter(|text| !is_stable(text));
    assert_eq!(changed.collect::<Vec<_>>(), [""; 0]);
}

fn shown(text: &str) -> String {
    Plain::of(text).text
}

/// Whether what a text shows shows itself, and its words are folded for good.
fn is_stable(text: &str) -> bool {
    let once = shown(text);
    let folded = |word: &Word| word.kind != WordKind::Letters || fold::word(&word.text) == word.text;
    shown(&once) == once && segment(text).iter().all(folded)
}

proptest! {
    #[test]
    fn reading_twice_is_reading_once(text in any_text()) {
        prop_assert!(is_stable(&text), "{:?} is shown as {:?}, and that as {:?}", text, shown(&text), shown(&shown(&text)));
    }

    #[test]
    fn words_stand_in_the_text_in_order(text in any_text()) {
        let mut end = 0;
        let mut last = 0..0;
        for word in segment(&text) {
            prop_assert!(text.get(word.range.clone()).is_some_and(|part| !part.is_empty()), "{:?}", word);
            prop_assert!(word.range.start >= end || word.range == last || word.range.start >= last.start, "{:?} after {}", word, end);
            prop_assert!(!word.text.is_empty() && word.text.len() <= LONGEST_WORD_BYTES);
            end = word.range.end;
            last = word.range;
        }
    }
}
