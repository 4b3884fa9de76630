use super::{is_declined, read};
use crate::prompt::Form;
use crate::quote::DECLINED;

/// (text with citations, its plain text, indices of cited sources)
fn shown(answer: &str) -> Vec<(&str, String, Vec<u64>)> {
    read(answer, Form::Prose).into_iter().map(|(s, plain)| (&answer[s.start as usize..s.end as usize], plain, s.cited)).collect()
}

#[test]
fn sentences_keep_their_citations_and_are_valued_without() {
    assert_eq!(
        shown("Vaccines are kept at 2 °C to 8 °C [1][3]. Dry ice sublimates. [2] It must be vented [2, 1]."),
        [
            ("Vaccines are kept at 2 °C to 8 °C [1][3].", "Vaccines are kept at 2 °C to 8 °C.".to_owned(), vec![0, 2]),
            ("Dry ice sublimates. [2]", "Dry ice sublimates.".to_owned(), vec![1]),
            ("It must be vented [2, 1].", "It must be vented.".to_owned(), vec![0, 1]),
        ]
    );
    assert_eq!(shown("[1] Cold."), [("Cold.", "Cold.".to_owned(), vec![0])]);
    assert_eq!(shown("- Cold [2]\n- Warm\n"), [("Cold [2]", "Cold".to_owned(), vec![1]), ("Warm", "Warm".to_owned(), vec![])]);
    // no sentence in it: the whole is one
    assert_eq!(shown(" [1] "), [("[1]", "[1]".to_owned(), vec![])]);
    assert_eq!(shown("---"), [("---", "---".to_owned(), vec![])]);
}

#[test]
fn what_is_prescribed_cites_nothing() {
    let answer = r#"{"a": [1]}"#;
    let [(sentence, plain)] = &read(answer, Form::Prescribed)[..] else { panic!("one sentence") };
    assert_eq!((sentence.start, sentence.end, plain.as_str(), sentence.cited.len()), (0, answer.len() as u64, answer, 0));
}

#[test]
fn declining_is_known_by_its_words() {
    assert!(is_declined(DECLINED) && is_declined(" The Datanet does not hold an answer to this question [1]"));
    assert!(!is_declined(&format!("{DECLINED} But perhaps it is so.")));
}
