//! Words that say nothing by themselves. A fixed list, part of [`super::METHOD`].
//!
//! A word stands here only if it says nothing in any language that spells it so (`die`, `war` and `pour` do
//! not), no number and no negation does, and single letters are left out for they are symbols, but `a` and `i`.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use super::fold;
use super::plain::Plain;

/// Articles, pronouns, prepositions, conjunctions and auxiliaries.
const WORDS: &[&str] = &[
    // English
    "a an and are as at be been being but by can could did do does for from had has have having he her hers him his i if in into is it \
     it's its me my of on or our ours she should so such than that the their theirs them then there these they this those to was we \
     were what which who whom whose will with would you your yours",
    // German
    "der das und ist den dem des ein eine einer einem einen eines sich mit von zu zum zur auf für auch wird werden wurde wurden sind wenn \
     dass wie bei nach",
    // French
    "le la les un une du est et que qui ce cette ces il elle ils elles dans avec être sont",
    // Spanish, Portuguese, Italian
    "el los las del al se su sus es una uno lo como esta este estas estos da das em na uma ao aos di il gli della delle dei che sono",
    // Dutch
    "de het een zijn wordt worden voor",
    // Russian
    "на по из за от для что это как он она они его её их был была были быть или",
    // Chinese, Japanese
    "的 了 和 是 在 也 与 及 の は が を に で と も です ます した して",
    // Arabic, Hindi
    "في من على إلى هذا هذه التي الذي का की के में और है हैं से को यह",
];

static STOP_WORDS: LazyLock<BTreeSet<String>> = LazyLock::new(|| folded(WORDS));

/// Words that turn a statement around.
const NEGATIONS: &[&str] = &[
    "no not never none nor neither nothing nobody nowhere cannot can't without except unless",
    "nicht kein keine keinen keinem keiner nie niemals ohne weder außer",
    "ne pas non jamais sans ni aucun aucune",
    "nunca sin ningún ninguna tampoco não nem sem mai senza",
    "niet geen nooit zonder",
    "не ни нет без никогда нельзя",
    "δεν μην όχι χωρίς ποτέ",
    "不 没 没有 無 无 未 非 勿 別 别 ない ません なし",
    "لا لم لن ليس غير بدون नहीं मत बिना ไม่ ห้าม 않다 없다 안",
];

static NEGATED: LazyLock<BTreeSet<String>> = LazyLock::new(|| folded(NEGATIONS));

/// The words of lists, as words of a text are folded.
fn folded(lists: &[&str]) -> BTreeSet<String> {
    lists.iter().flat_map(|words| words.split_whitespace()).map(|word| fold::word(&Plain::of(word).text)).collect()
}

/// Whether a folded word says nothing by itself.
pub fn is_stop_word(folded: &str) -> bool {
    STOP_WORDS.contains(folded)
}

/// Whether a folded word turns what is said around. `isn't`, `don't` and their like are.
pub fn is_negation(folded: &str) -> bool {
    NEGATED.contains(folded) || folded.ends_with("n't")
}
