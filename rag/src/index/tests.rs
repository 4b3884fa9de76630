use super::*;

#[test]
fn terms_are_stemmed_words() {
    assert_eq!(terms("The Vaccines are stored at 2 °C; storing VACCINES!"), ["vaccin", "store", "2", "c"]);
    assert!(terms("the of and").is_empty());
    assert!(terms(&"x".repeat(100)).is_empty());
    assert!(terms("").is_empty());
}
