use super::candidates;

fn quotable(text: &str) -> Vec<&str> {
    let sources = [text];
    candidates::all(&sources).iter().map(|candidate| candidate.of(&sources)).collect()
}

#[test]
fn only_whole_statements_are_quoted() {
    let text = "# A heading about dry ice\n\nDry ice sublimates at -78.5 °C. Is dry ice cold and safe?\n\n| dry ice | cold box | a table row. |\n\n\
        - Dry ice belongs in a vented box\n- Keep dry ice away from:\n\n```\nlet dry_ice_code = cold box.\n```\n\n\
        See ![dry ice picture here](http://evil.example/x.png). Too short.\n\nA title about dry ice without a stop";
    assert_eq!(quotable(text), ["Dry ice sublimates at -78.5 °C.", "Dry ice belongs in a vented box"]);
}

#[test]
fn the_same_sentence_is_offered_once() {
    let sources = ["Dry ice sublimates fast.", "Dry ice sublimates fast. Dry ice vents need care."];
    let offered: Vec<(usize, &str)> = candidates::all(&sources).iter().map(|c| (c.source, c.of(&sources))).collect();
    assert_eq!(offered, [(0, "Dry ice sublimates fast."), (1, "Dry ice vents need care.")]);
}
