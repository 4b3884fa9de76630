//! Whether a text is in a language that the Datanet's embedder was made for. A hint: what it is not made for
//! is found by its words alone.

use whatlang::{Lang, Script};

/// As much of a document as is looked at.
const SAMPLE_BYTES: usize = 16 << 10;
/// A shorter text in the script of one of the languages is taken for one of them.
const LEAST_LETTERS: usize = 80;

/// Whether a document is in a language other than those of `served` (ISO 639-3), as far as that can be
/// told. Of an embedder that says nothing about itself nothing is said.
pub(crate) fn is_unserved(text: &str, served: &[String]) -> bool {
    if served.is_empty() {
        return false;
    }
    let sample = text.get(..text.floor_char_boundary(SAMPLE_BYTES)).unwrap_or_default();
    if is_unserved_script(sample, served) {
        return true;
    }
    let long = sample.chars().filter(|c| c.is_alphabetic()).take(LEAST_LETTERS).count() == LEAST_LETTERS;
    long && whatlang::detect(sample).is_some_and(|found| found.is_reliable() && !is_among(found.lang(), served))
}

/// Whether a text is in a script that none of the languages is written in.
pub(crate) fn is_unserved_script(text: &str, served: &[String]) -> bool {
    let is_written_in = |script: &Script| script.langs().iter().any(|language| is_among(*language, served));
    Script::all().iter().any(is_written_in) && whatlang::detect_script(text).is_some_and(|script| !is_written_in(&script))
}

fn is_among(language: Lang, served: &[String]) -> bool {
    served.iter().any(|code| code == language.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GERMAN: &str = "Impfstoffe werden zwischen zwei und acht Grad gelagert. Angebrochene Fläschchen werden nach achtundzwanzig \
                          Tagen entsorgt, auch wenn noch etwas übrig ist.";

    fn codes(codes: &[&str]) -> Vec<String> {
        codes.iter().map(|code| (*code).to_owned()).collect()
    }

    #[test]
    fn other_languages_are_told_from_the_served_ones() {
        let english =
            "Vaccines are kept between two and eight degrees. Open vials are discarded after twenty-eight days, whatever is left.";
        for (text, unserved) in [
            (english, false),
            ("橡树冷库把疫苗保存在二至八摄氏度之间。", true),
            ("Храните вакцины при температуре от двух до восьми градусов.", true),
            ("เก็บวัคซีนไว้ที่อุณหภูมิ", true),
            ("백신은 보관합니다", true),
            ("تُحفظ اللقاحات بين درجتين وثماني درجات مئوية", true),
            (GERMAN, true),
            ("Kurz.", false),
            ("2–8 °C", false),
            ("", false),
        ] {
            assert_eq!(is_unserved(text, &codes(&["eng"])), unserved, "{text}");
            assert!(!is_unserved(text, &[]), "{text}");
        }
        assert!(is_unserved_script("疫苗保存", &codes(&["eng"])) && !is_unserved_script("疫苗保存", &codes(&["eng", "cmn"])));
        assert!(is_unserved(GERMAN, &codes(&["eng", "fra"])) && !is_unserved(GERMAN, &codes(&["eng", "deu"])));
    }
}
