use super::super::tests::{check, flagged};

/// HTML that KaTeX and MathJax make of formulas, without their MathML.
#[test]
fn what_libraries_typeset_is_read_as_it_looks() {
    let formulas: Vec<(&str, &str)> =
        include_str!("formulas.tsv").lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('\t')).collect();
    assert!(formulas.len() > 20);
    for (expected, html) in formulas {
        check(&format!("at most {html} min"), &format!("at most {expected} min"));
        flagged(html, &["formula"]);
        check(&format!("<table><tr><td>A<td>{html}<tr><td>B<td>8</table>"), &format!("| A | {expected} | // | B | 8 |"));
    }
}

/// MathJax 2 as browsers got it (HTML-CSS): each part on a strut, at a place of its own.
#[test]
fn what_stands_at_places_is_read_in_order() {
    let at = |top: &str, inside: &str| {
        format!(
            "<span style='position:absolute;top:{top}em;left:0em'>{inside}<span style='display:inline-block;width:0px;height:4em'></span></span>"
        )
    };
    let math = |inside: &str| {
        format!(
            "<span class=MathJax id=MathJax-Element-1-Frame><nobr><span class=math><span style='display:inline-block;position:relative;height:0px'>{}</span></span></nobr></span>",
            at("-2.1", inside)
        )
    };
    let mn = |number: &str| format!("<span class=mn>{number}</span>");
    let beside = |class: &str, parts: &[String]| {
        format!("<span class={class}><span style='position:relative;height:0px'>{}</span></span>", parts.concat())
    };
    check(&math(&mn("30")), "30");
    check(&math(&beside("msubsup", &[at("-3.98", &mn("10")), at("-4.4", &mn("3"))])), "10^3");
    check(&math(&beside("msubsup", &[at("-3.98", &mn("10")), at("-3.8", &mn("3"))])), "10_3");
    check(&math(&beside("msubsup", &[at("-3.98", &mn("10")), at("-4.4", &mn("3")), at("-3.8", &mn("2"))])), "10_2^3");
    check(&math(&beside("mfrac", &[at("-4.6", &mn("1")), at("-3.3", &mn("2")), at("-1.3", "")])), "1/2");
    check(&math(&beside("msqrt", &[at("-3.9", &mn("2")), at("-4.5", "<span></span>"), at("-4.1", "<span>√</span>")])), "√(2)");
    check(&math(&(mn("10") + &mn("3"))), "10 3");
}

#[test]
fn what_tells_no_place_is_kept_apart() {
    check("<span class=katex>10<span class=msupsub><span>3</span></span>5</span>", "10^3 5");
    check("<span class=katex>10<sup>3</sup>5</span>", "10^3 5");
    check("<span class=katex>10<span class=msupsub><span style='top:-3em'>3</span></span></span>", "10^3");
    check("<span class=MathJax>10<span style='vertical-align:super'>3</span>5<span style='vertical-align:sub'>2</span></span>", "10^3 5_2");
    check(
        "<span class=katex>10<span class=vlist><span>3</span></span><span class=mfrac><span class=vlist><span>2</span><span>1</span></span></span></span>",
        "10 3 2 1",
    );
    check("at<span class=katex style='visibility:hidden'>30</span>most <span class=katex hidden>30</span>x", "at most x");
    check("<span class=katex>3<span style='display:none'>x</span>0</span>", "3 0");
    flagged("a <span class=katex>\u{200b}<span></span></span> b", &["left_out"]);
}

#[test]
fn what_is_not_seen_is_read_where_nothing_is() {
    for (html, expected) in [
        ("<span class=mwe-math-element><img alt='{\\displaystyle 10^{3}}' aria-hidden=true></span>", "10^{3}"),
        ("<span class=mwe-math-element><img alt='{\\displaystyle a}&lt;{b}'></span>", "{\\displaystyle a}<{b}"),
        (
            "<mjx-container><svg><use data-c=33></use></svg><mjx-math data-latex='10^{3}' aria-label='ten'></mjx-math></mjx-container>",
            "10^{3}",
        ),
        ("<mjx-container aria-label='10 cubed'><svg><title>x</title></svg></mjx-container>", "10 cubed"),
        ("<span class=MathJax_SVG data-mathml='&lt;math>&lt;mn>10&lt;/mn>&lt;/math>'><svg></svg></span>", "10"),
        // in this order
        ("<mjx-container aria-label=no data-latex=no><img alt=no>30</mjx-container>", "30"),
        ("<mjx-container aria-label=no data-latex=no><img alt=30></mjx-container>", "30"),
        ("<mjx-container aria-label=no data-latex=30 ><mjx-c class=mjx-c35></mjx-c></mjx-container>", "30"),
    ] {
        check(&format!("at most {html} min"), &format!("at most {expected} min"));
        flagged(html, &["formula"]);
    }
    // A source beside it says it better.
    let visual = "<span class=MathJax><nobr>103</nobr></span>";
    check(&format!("a {visual}<script type='math/tex'>10^3</script> b"), "a 10^3 b");
    check(&format!("a <span class=MathJax_Preview>x</span>{visual} <script type='math/tex'>10^3</script> b"), "a x 10^3 b");
    check(&format!("<div class=MathJax_Display>{visual}</div><script type='math/tex; mode=display'>10^3</script>"), "10^3");
    check(&format!("<p>{visual}</p>x <script type='math/tex'>5</script>"), "103 ¶ x 5");
    flagged(&format!("{visual}<script type='math/tex'>10^3</script>"), &["formula"]);
}
