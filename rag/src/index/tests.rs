use super::*;

#[test]
fn terms_are_stemmed_words() {
    assert_eq!(terms("The Vaccines are stored at 2 °C; storing VACCINES!"), ["vaccin", "store", "2", "c"]);
    assert!(terms("the of and").is_empty());
    assert_eq!(terms("do not freeze -5 % or 10³"), ["not", "freez", "-5", "10^3"]);
    assert_eq!(terms(&"x".repeat(100)).len(), 1);
    assert!(terms("").is_empty());
}

#[test]
fn words_of_scripts_without_spaces_are_terms() {
    assert!(terms("橡树冷库把疫苗保存在二至八摄氏度之间。").iter().any(|term| term == "疫苗"));
    assert!(terms("เก็บวัคซีนไว้ที่อุณหภูมิ").iter().any(|term| term == "วัคซีน"));
    assert_eq!(terms("vаccine"), terms("vaccine"), "a Cyrillic letter hides no word");
}
