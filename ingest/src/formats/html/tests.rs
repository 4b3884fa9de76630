use super::*;

fn read(page: &str) -> Parsed {
    super::super::tests::parse("page.html", page.as_bytes()).unwrap_or_else(|refusal| panic!("{page:?}: {refusal:?}"))
}

/// What a reader sees of a page, its paragraphs parted by `¶` and its lines by `/`.
#[track_caller]
pub(super) fn check(page: &str, expected: &str) {
    let shown = read(page).text.replace("\n\n", " ¶ ").replace('\n', " // ");
    assert_eq!(shown, expected, "{page}");
}

#[track_caller]
pub(super) fn flagged(page: &str, expected: &[&str]) {
    let parsed = read(page);
    assert_eq!(parsed.flags(&(0..parsed.text.len())), expected, "{page}");
}

#[test]
fn what_is_hidden_hides_itself_alone() {
    // omitted end tags
    check("<table><tr hidden><td>x<tr><td>Limit<td>15</table><p>after", "| Limit | 15 | ¶ after");
    check(
        "<table><tr><th hidden>id<th>Drug<th>Limit<tr><td hidden><b>7<td>A<td>25</table><p>after",
        "| Drug | Limit | // | A | 25 | ¶ after",
    );
    check("<ul><li hidden>x<li>one<li>two</ul>after", "• one ¶ • two ¶ after");
    check("<dl><dt hidden>x<dd>y<dt>z</dl>", "y ¶ z");
    check("<p hidden>x<p>y", "y");
    check("<p>a<p hidden>x<div>b</div>", "a ¶ b");
    check("<select><option hidden>x<option>y</select>", "y");
    // no content and no end tag
    for void in ["hr", "br", "wbr", "img", "input"] {
        check(&format!("a <{void} style='display:none'> b <{void} hidden/> c"), "a b c");
    }
    // unclosed
    check("<div><nav><a href=/>Home</a></div><h1>Rules</h1><p>Keep.", "Rules ¶ Keep.");
    check("<div><button>go</div><p>Keep.", "go ¶ Keep.");
    check("<p>a <span hidden>b<p>c", "a ¶ c");
    check("<div hidden><p>a</div>b", "b");
    // misnested
    check("<b hidden>a<p>b</b>c", "c");
    check("<p><b>1<i hidden>2</b>3</i>4", "14");
    // head
    check("<html><head><title>t</title><span>a</span> <b>b</b></html>", "a b");
    check("<head><title>t</title>plain words", "plain words");
    // styles
    check(
        "<p style='display:none'>x<p style='visibility:hidden'>y <b style='visibility:visible'>z</b><p style='font-size:0'>u <i style='font-size:1em'>v",
        "z ¶ v",
    );
    check("<div style='display:block'>a</div><div style='opacity:0'>b</div>", "a");
    check(
        "<p hidden=until-found>a<dialog>b</dialog><dialog open>c</dialog><div popover>d</div><details><summary>e</summary>f</details>",
        "a ¶ c ¶ e ¶ f",
    );
    // browsers' own style sheets hide these, which a style overrides
    for hidden in ["span hidden", "span popover", "dialog", "dialog popover"] {
        check(&format!("<{hidden} style='color:red'>x</{hidden}>y"), "y");
        check(&format!("<{hidden} style='display:none'>x</{hidden}>y"), "y");
        check(&format!("<{hidden} style='display:revert'>x</{hidden}>y"), "y");
        for display in ["inline", "contents", "inherit", "inline ! important; display: none"] {
            assert!(read(&format!("<{hidden} style='display:{display}'>thirty</{hidden}>y")).text.contains("thirty"), "{hidden} {display}");
        }
    }
    check("<dialog open popover>a</dialog>b", "a ¶ b");
    check("<table><tr hidden style='display:table-row'><td>a<td>b</table>", "| a | b |");
    check(
        "<p style=\"content:';display:none;'\">a</p><p style='background:url(a;display:none)'>b</p><p style='d\\69splay:none'>c</p>",
        "a ¶ b",
    );
    check("a<template>b</template><noscript>c</noscript><script>d</script><style>e</style><!-- f --><![CDATA[g]]>", "a");
    check("<!--[if IE]>a<![endif]--><![if !IE]>b<![endif]>", "b");
    check("<body>a<plaintext>b</body>", "a ¶ b</body>");
    check("<svg><title>t</title></svg>a", "a");
}

#[test]
fn a_page_without_text_says_so() {
    for page in ["<frameset><frame src=a></frameset>", "<html hidden>a", "<body style=display:none>a", "<title>only</title>"] {
        let refusal = super::super::tests::parse("a.html", page.as_bytes()).unwrap_err();
        assert_eq!(refusal.code, "empty", "{page}");
    }
}

#[test]
fn exponents_indices_and_notes_are_told_apart() {
    check("at most 30<a href=#n1><sup>1</sup></a> minutes; <a href=#x>10<sup>3</sup> CFU</a>", "at most 30 [1] minutes; 10^3 CFU");
    check("37<sup>o</sup>C, 37<sup>o</sup> F, 1<sup>o</sup> Caso", "37°C, 37° F, 1^o Caso");
    check("at most 10<sup>3</sup> CFU", "at most 10^3 CFU");
    check("10 <sup>−9</sup>m", "10^−9 m");
    check("4.2 &times; 10<sup>-9</sup> m<sup>2</sup>/s", "4.2 × 10^-9 m^2/s");
    check("x<sup>n+1</sup> (a)<sup>2</sup>", "x^(n+1) (a)^2");
    check("10<sup>3</sup>5", "10^3 5");
    check("10<sup>1/2</sup>", "10^(1/2)");
    check("CO<sub>2</sub>, H<sub>2</sub>O, C<sub>6</sub>H<sub>12</sub>O<sub>6</sub>, Ca(OH)<sub>2</sub>", "CO2, H2O, C6H12O6, Ca(OH)2");
    check("x<sub>1</sub> v<sub>max</sub>t 10<sub>2</sub> a<sub>i,j</sub>", "x_1 v_max t 10_2 a_(i,j)");
    check("SO<sub>4</sub><sup>2-</sup> Ca<sup>2+</sup>", "SO4^(2-) Ca^(2+)");
    check("<sup>14</sup>C", "^14 C");
    check("the 1<sup>st</sup> of 2<sup>nd</sup> M<sup>me</sup> Acme<sup>®</sup> Acme<sup>TM</sup>", "the 1st of 2nd Mme Acme® Acme TM");
    check("30<sup>[1]</sup> and 8<sup><a href=#n2>2</a></sup> °C, 5<sup>*</sup>", "30 [1] and 8 [2] °C, 5 [*]");
    check("10<span style='vertical-align:super'>3</span> 10<span style='position:relative;top:-.5em'>3</span>", "10^3 10^3");
    check("a<sup></sup>b", "ab");
    check("1<sup>1</sup>/<sub>2</sub> and 3<sup>1</sup>&frasl;<sub>4</sub>5, m<sup>2</sup>/s", "1 1/2 and 3 1⁄4 5, m^2/s");
    flagged("at most 30<sup>1</sup> minutes", &["raised_number"]);
    flagged("Celsius<sup>2</sup>", &["raised_number"]);
    flagged(
        "10<sup>3</sup> 2<sup>8</sup> cm<sup>2</sup> 5<sup>-1</sup> H<sub>2</sub>O 3<sup><a href=#x>1</a></sup> 1<sup>1</sup>/<sub>2</sub>",
        &[],
    );
}

#[test]
fn raised_letters_end_a_word_or_are_exponents() {
    // a letter may be a variable
    check("2<sup>a</sup> 10<sup>e</sup> 4<sup>o</sup> V<sup>e</sup> x<sup>n</sup> 2<sup>º</sup>", "2^a 10^e 4^o V^e x^n 2º");
    // unless the page is in a language whose ordinals are written so
    check("<p lang=fr>le 2<sup>e</sup> étage, V<sup>e</sup> siècle, 2<sup>a</sup>", "le 2e étage, Ve siècle, 2^a");
    check("<html lang=pt-BR><p>3<sup>a</sup> e 1<sup>o</sup>, 10<sup>e</sup><p lang=en>2<sup>a</sup>", "3a e 1o, 10^e ¶ 2^a");
    check("1<sup>er</sup> 1<sup>ère</sup> 2<sup>nde</sup> 3<sup>ème</sup> 4<sup>TH</sup>", "1er 1ère 2nde 3ème 4TH");
    check("XIX<sup>e</sup> I<sup>er</sup> XX<sup>th</sup> X<sup>ème</sup> V<sup>th</sup> C<sup>e</sup>", "XIXe Ier XXth Xème V^th C^e");
    check(
        "n<sup>o</sup> 5, N<sup>os</sup> 5 et 6, D<sup>r</sup> Roy, M<sup>me</sup> Roy, x<sup>o</sup> X<sup>r</sup>",
        "no 5, Nos 5 et 6, Dr Roy, Mme Roy, x^o X^r",
    );
    check("Acme<sup>(TM)</sup> Acme<sup>TM</sup> Acme<sup>(R)</sup> x<sup>(r)</sup>", "Acme (TM) Acme TM Acme (R) x^((r))");
}

#[test]
fn lowered_parts_of_names_are_told_from_indices() {
    check("PM<sub>2.5</sub> PM<sub>10</sub> HbA<sub>1c</sub> NO<sub>x</sub> SO<sub>X</sub>", "PM2.5 PM10 HbA1c NOx SOX");
    check("CO<sub>2eq</sub> CO<sub>2e</sub> VO<sub>2max</sub>5 PM<sub>2.5</sub>7", "CO2eq CO2e VO2max 5 PM2.5 7");
    check("x<sub>i</sub> T<sub>max</sub> T<sub>1c</sub> T<sub>2.5</sub> C<sub>x</sub> pH<sub>x</sub>", "x_i T_max T_1c T_(2.5) C_x pH_x");
    check("AB<sub>x</sub> CO<sub>eq</sub> 10<sub>2e</sub> PM<sub>2,5</sub>", "AB_x CO_eq 10_2e PM_(2,5)");
}

#[test]
fn formulas_are_read() {
    check("at most <math><mn>30</mn></math> minutes", "at most 30 minutes");
    check("<table><tr><td>A<td><math><mo>-</mo><mn>15</mn></math><tr><td>B<td>8</table>", "| A | -15 | // | B | 8 |");
    check(
        "is <span class=katex><span class=katex-mathml><math><semantics><mrow><mn>83.144</mn></mrow><annotation encoding=application/x-tex>83.144</annotation></semantics></math></span><span class=katex-html aria-hidden=true>83.144</span></span> kJ",
        "is 83.144 kJ",
    );
    check("<math><msup><mn>10</mn><mn>3</mn></msup></math>", "10^3");
    check("<math><msup><mn>10</mn><mrow><mo>−</mo><mn>9</mn></mrow></msup><mi>m</mi></math>", "10^−9 m");
    check("<math><mn>1</mn><mfrac><mn>1</mn><mn>2</mn></mfrac></math>", "1 1/2");
    check("<math><mfrac><mrow><mi>a</mi><mo>+</mo><mi>b</mi></mrow><mi>c</mi></mfrac></math>", "(a + b)/c");
    check("<math><mi>x</mi><mo>=</mo><mo>-</mo><mn>5</mn><mo>-</mo><mn>3</mn></math>", "x = -5 - 3");
    check("<math><msub><mi>x</mi><mn>1</mn></msub><mo>&le;</mo><msqrt><mn>2</mn></msqrt></math>", "x_1 ≤ √(2)");
    check("<math><mn>2</mn><mo>&#x2062;</mo><mi>π</mi><mi>r</mi></math>", "2 πr");
    check("<math><mn>10</mn><mn>3</mn></math>", "10 3");
    check("<math><mtable><mtr><mtd><mn>1</mn></mtd><mtd><mn>2</mn></mtd></mtr></mtable></math>", "[1, 2]");
    check("<math><mfenced><mn>1</mn><mn>2</mn></mfenced><mi>sin</mi><mi>x</mi></math>", "(1, 2) sin x");
    check(
        "<span class=mwe-math-element><span style='display:none'><math><msup><mn>10</mn><mn>3</mn></msup></math></span><img alt='{\\displaystyle 10^{3}}' aria-hidden=true></span>",
        "10^3",
    );
    check(
        "<mjx-container><mjx-math aria-hidden=true>x</mjx-math><mjx-assistive-mml><math><mn>30</mn></math></mjx-assistive-mml></mjx-container> min",
        "30 min",
    );
    flagged("<math><mmultiscripts><mi>C</mi><mprescripts/><none/><mn>14</mn></mmultiscripts></math>", &["formula"]);
    flagged("<math><msup><mn>10</mn><mn>3</mn></msup></math>", &[]);
}

#[test]
fn formulas_keep_their_structure() {
    check("1<math><mfrac><mn>1</mn><mn>2</mn></mfrac></math> hours", "1 1/2 hours");
    // KaTeX's \overset, \underset, \stackrel, \raisebox
    let over = "<math><mi><mover><mo><mn>10</mn></mo><mn>3</mn></mover></mi></math>";
    check(over, "(3 above 10)");
    flagged(over, &["formula"]);
    check("<math><mi><munder><mo><mn>10</mn></mo><mn>3</mn></munder></mi></math>", "(3 below 10)");
    check("<math><mn>10</mn><mo><mover><mo><mo>=</mo></mo><mn>3</mn></mover></mo><mn>5</mn></math>", "10 (3 above =) 5");
    let raised = "<math><mn>10</mn><mpadded voffset=4pt><mstyle><mtext>3</mtext></mstyle></mpadded></math>";
    check(raised, "10 3");
    flagged(raised, &["formula"]);
    check("<math><munderover><mo>∑</mo><mn>1</mn><mi>n</mi></munderover><mi>x</mi></math>", "∑_1^n x");
    flagged("<math><munder><mi>lim</mi><mi>n</mi></munder><mover><mi>v</mi><mo>⃗</mo></mover></math>", &[]);
    // exponents of any length
    check("10<sup>−0.4(m<sub>1</sub> − m<sub>2</sub> + 25.000 + 7)</sup> units", "10^(−0.4(m_1 − m_2 + 25.000 + 7)) units");
    check("a rule <sup>that was added in the second edition</sup> b", "a rule that was added in the second edition b");
    check(
        "10<span style='vertical-align:text-top;font-size:70%'>3</span> 10<span style='font-variant-position:super'>9</span>",
        "10^3 10^9",
    );
}

#[test]
fn a_formula_is_said_once() {
    let spelled = "at most <script type='math/tex'>30</script> min";
    check(spelled, "at most 30 min");
    flagged(spelled, &["formula"]);
    check("<p><script type='math/mml'><math><mn>50</mn><mo>/</mo></math></script> <script type='math/asciimath'>60</script>", "50 / 60");
    check("a <span class=MathJax_Preview>[30]</span><script type='math/tex; mode=display'>30</script> b", "a 30 b");
    let visual = "<span class=x aria-hidden=true>30</span>";
    for class in ["katex", "MathJax", "MathJax_CHTML", "MathJax_SVG"] {
        check(&format!("a <span class={class}>{visual}<math><mn>30</mn></math></span><script type='math/tex'>30</script> b"), "a 30 b");
    }
}

#[test]
fn what_is_left_out_joins_nothing() {
    // read to nobody, but seen
    check("2<span aria-hidden=true>–</span>8, <span aria-hidden=true>−</span>20 C", "2–8, −20 C");
    check("30<br aria-hidden=true>40<hr aria-hidden=true>50", "30 // 40 ¶ 50");
    check("2<img aria-hidden=true alt=to>8", "2 to 8");
    check("2<input type=button value=to>8 2<input type=image alt=to>8", "2 to 8 2 to 8");
    check("2<span role=img aria-label=to></span>8 2<svg role=img aria-label=to><path/></svg>8", "2 to 8 2 to 8");
    for unseen in [
        "<span style='visibility:hidden'>x</span>",
        "<sup style='visibility:hidden'>x</sup>",
        "<span style='opacity:0'> - </span>",
        "<svg aria-hidden=true><path/></svg>",
        "<svg><title>to</title></svg>",
        "<iframe src=x></iframe>",
        "<img src=x>",
        "<img alt=''>",
        "<i class=minus aria-hidden=true></i>",
        "<i class=minus></i>",
        "<input type=password value=x>",
        "<math style='visibility:hidden'><mn>1</mn></math>",
    ] {
        check(&format!("2{unseen}8"), "2 8");
    }
    check("2<span style='display:none'>x</span>8", "28");
    check("a<div style='opacity:0'>b</div>c", "a ¶ c");
    flagged("2<i class=minus></i>8", &["left_out"]);
    flagged("2<iframe src=x></iframe>8", &["left_out"]);
    flagged("2<img src=x>8", &["left_out"]);
    flagged("<i class=home aria-hidden=true></i> Home <img alt=''>", &[]);
}

#[test]
fn what_is_struck_out_is_not_said() {
    for tag in ["p", "div", "h1", "pre", "section", "span", "q", "ul"] {
        let page = format!("a <{tag} style='text-decoration:line-through'>10</{tag}> b");
        assert_eq!(read(&page).text.split_whitespace().collect::<Vec<_>>(), ["a", "b"], "{page}");
        flagged(&page, &["struck_text"]);
    }
    check("a<table style='text-decoration:line-through'><tr><td>1<td>2</table>b", "a ¶ b");
    check("<ol><li style='text-decoration:line-through'>a<li>b</ol>", "2. b");
    let cells = "<table><tr><td>A<td>5<tr style='text-decoration:line-through'><td>B<td>6<tr><td>C<td style='text-decoration:line-through'>7</table>";
    check(cells, "| A | 5 | // | | | // | C | |");
    flagged(cells, &["struck_text"]);
    for tag in ["p", "div", "li", "span"] {
        flagged(&format!("a <{tag} style='unicode-bidi:bidi-override;direction:rtl'>12</{tag}>"), &["reordered_text"]);
    }
    flagged("<table><tr><td>a<td style='unicode-bidi:bidi-override;direction:rtl'>12</table>", &["reordered_text"]);
    check(
        "The price is <del>10</del> <ins>12</ins> EUR, <s>5</s>6, <strike>7</strike> <span style='text-decoration:line-through'>8</span>",
        "The price is 12 EUR, 6,",
    );
    flagged("The price is <del>10</del> 12", &["struck_text"]);
    flagged("<p>kept</p><del><p>a rule</p></del>", &["struck_text"]);
}

#[test]
fn cells_keep_their_place() {
    check(
        "<table><tr><th>Drug<th>Low<th>High<tr><td>A<td><td>8<tr><td><td>2<td></table>",
        "| Drug | Low | High | // | A | | 8 | // | | 2 | |",
    );
    check("<table><tr><td rowspan=2>A<td>1<tr><td>2<tr><td>B<td>3</table>", "| A | 1 | // | A | 2 | // | B | 3 |");
    check("<table><tr><td colspan=2>wide<td>c<tr><td>1<td>2<td>3</table>", "| wide | | c | // | 1 | 2 | 3 |");
    check("<table><tr><td>1<td rowspan=2>x<tr><td>2<tr><td>3<td>y</table>", "| 1 | x | // | 2 | x | // | 3 | y |");
    check(
        "<table><caption>Limits</caption><thead><tr><th>a<th>b</thead><tbody><tr><td>1<td>2</tbody></table>",
        "Limits ¶ | a | b | // | 1 | 2 |",
    );
    check("<table><tr><td>2<br>3<td><p>4</p><p>5</p><tr><td>x<td>y</table>", "| 2 / 3 | 4 / 5 | // | x | y |");
    check("<table><tr><td style='visibility:hidden'>x<td>y<tr><td>1<td>2</table>", "| | y | // | 1 | 2 |");
    check("<table>moved<tr><td>a<td>b</table>", "moved ¶ | a | b |");
    check("<table><tr><td><table><tr><td>1<td>2</table><td><p>page</table>", "| 1 | 2 | ¶ page");
    check("<table><tr><td>one column<tr><td>of text</table>", "one column ¶ of text");
    for cell in ["<pre>iron</pre>", "<form>iron</form>", "<h4>iron</h4>", "<table><tr><td>iron</table>"] {
        check(&format!("<table><tr><th>a<th>b<th>c<tr><td>{cell}<td><td>31</table>"), "| a | b | c | // | iron | | 31 |");
    }
    check("<table><tr><td><pre><code>iron</code>\n</pre><td><td>31</table>", "| iron | | 31 |");
    check("<table><tr><td><pre><code>a</code>\n<code>b</code></pre><td>31</table>", "a // b ¶ 31");
    check("<table><tr><th>a<th>b<tr><td><pre>1\n2</pre><td>3</table>", "| a | b | // | 1 / 2 | 3 |");
    let nested = "<table><tr><th>a<th>b<tr><td><table><tr><td>1<td>2</table><td>3</table>";
    check(nested, "| a | b | // | 1 / 2 | 3 |");
    flagged(nested, &["left_out"]);
    check(
        &format!("<table><tr><td rowspan=2>{}<td>1<tr><td>2</table>", "x".repeat(300)),
        &format!("| {} | 1 | // | … | 2 |", "x".repeat(300)),
    );
    check("<table><tr><td style='opacity:0'>x<td>y</table>", "| | y |");
    check("<table role=presentation><tr><td>a<td>b</table>", "a ¶ b");
}

#[test]
fn lists_keep_their_numbers() {
    check("<ol><li>a<li>b</ol>", "1. a ¶ 2. b");
    check("<ol start=3><li>a<li value=10>b<li>c</ol>", "3. a ¶ 10. b ¶ 11. c");
    check("<ol reversed><li>a<li>b</ol>", "2. a ¶ 1. b");
    check("<ol type=a><li>x<li type=I>y</ol>", "a. x ¶ II. y");
    check("<ol style='list-style-type:lower-alpha'><li>x<li style='list-style: upper-roman'>y</ol>", "a. x ¶ II. y");
    check("<ol><li>a<ul><li>b</ul><li>c<ol><li>d</ol></ol>", "1. a ¶ • b ¶ 2. c ¶ 1. d");
    check("<ol><li><p>a</p><p>b</p><li hidden>x<li>c</ol>", "1. a ¶ b ¶ 2. c");
}

#[test]
fn the_rest_of_what_markup_says() {
    check("<p>He said <q>stop <q>now</q> </q> then.", "He said “stop ‘now’” then.");
    check("<ruby>漢<rp>(</rp><rt>かん</rt><rp>)</rp>字<rt>じ</rt></ruby>", "漢(かん)字(じ)");
    check("<ruby>今<rt>きょう</rt>日<rt></rt></ruby>は <ruby>日<rt> <span hidden>x</span></rt></ruby> 月", "今(きょう)日は 日 月");
    check("<ruby>日 <rt></rt></ruby>月 <ruby>日<rt>に<rt></ruby>", "日 月 日(に)");
    flagged("<ruby>日<rt><img src=x></rt></ruby>", &["left_out"]);
    check("<abbr title='World Health Organization'>WHO</abbr> &amp; <wbr>co<wbr>operate", "WHO & cooperate");
    check("at most <img src=x alt=30> minutes", "at most 30 minutes");
    flagged("at most <img src=x alt=30> minutes", &["image_text"]);
    check(
        "<label>Limit <input value=30></label> <input type=checkbox checked> on <input type=checkbox> off <input type=submit value=Go><input type=password value=x>",
        "Limit 30 [x] on [ ] off Go",
    );
    check("<select><option>a<option selected>b</select> <textarea>\nc\n d</textarea>", "b ¶ c //  d");
    check("<h2><button>Storage</button></h2><p>Press <button>Start</button> for <button>30</button>s.", "Storage ¶ Press Start for 30 s.");
    check(
        "a<svg><text x=1>b</text><text><tspan x=1>1</tspan><tspan x=2>2</tspan></text><foreignObject><p>c</p></foreignObject></svg>d",
        "a // b ¶ 1 2 ¶ c ¶ d",
    );
    flagged("2<svg><title>to</title></svg>8", &["drawing"]);
    flagged("<svg><text>b</text></svg>", &["drawing"]);
    flagged("a <iframe srcdoc='<p>b'></iframe>", &["left_out"]);
    flagged("<bdo dir=rtl>03</bdo>", &["reordered_text"]);
    check("<pre>\n a\n  b</pre>x", " a // b ¶ x".replace("// b", "//   b").as_str());
    check("a&#0;b&#x80;c&#27;d\u{c}e", "a\u{fffd}b€c d e");
    check(
        "<div>a<nav>x</nav>b</div> 1<button>x</button>2 1<del>0</del>2 1<span style='float:left'>2</span>3<span style='display:block'>4</span>",
        "a ¶ b ¶ 1 x 2 1 2 1 2 3 ¶ 4",
    );
    check("<ol style='list-style:none'><li>a</ol><ul><li>b</ul>", "a ¶ • b");
    flagged("a <object>b</object> <canvas>c</canvas>", &["left_out"]);
    check("one<br>two<br/>three<hr>four", "one // two // three ¶ four");
}

#[test]
fn xhtml_is_read_as_it_says() {
    let declared = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<html xmlns=\"http://www.w3.org/1999/xhtml\">";
    check(&format!("{declared}<head><title/><script src=\"a.js\"/></head><body><p>a</p><p><a name=\"x\"/>b</p></body></html>"), "a ¶ b");
    check(&format!("{declared}<body><p>a<![CDATA[ < b]]></p><div hidden=\"hidden\"/><p>c</p></body></html>"), "a < b ¶ c");
    // not well formed: HTML after all, where nothing in it is closed as XML alone can
    check(&format!("{declared}<body><p>a<p hidden>b<br/><p>c</body></html>"), "a ¶ c");
    let refused = |page: &str| {
        let refusal = super::super::tests::parse("a.xhtml", page.as_bytes()).unwrap_err();
        assert_eq!(refusal.code, "malformed_xml", "{page}");
        refusal.reason
    };
    let page = format!("{declared}<head><title/></head><body><p>30<br></p></body></html>");
    assert!(refused(&page).contains(&format!("at byte {};", page.find("</p>").unwrap())));
    refused(&format!("{declared}<body><div hidden=\"hidden\"/><p>30"));
    // instructions end at ?>
    check(
        "<?xml version=\"1.0\"?><?xml-stylesheet href=\"a.css\" title=\"x>y\"?><html><body><p>a<?php if ($a > 1) echo \"<b>\"; ?></p><p>b</p></body></html>",
        "a ¶ b",
    );
    // entities of its own
    for subset in ["[ <!ENTITY lim \"30\"> ]", "PUBLIC \"-//[>\" 'x' [\n<!ENTITY % x 'y'>\n]"] {
        assert!(
            refused(&format!("<?xml version=\"1.0\"?><!-- > --><!DOCTYPE html {subset}><html><body>at most &lim;</body></html>"))
                .contains("entities")
        );
    }
    check("<?xml version=\"1.0\"?><!DOCTYPE html PUBLIC \"-//[x]//EN\"><html><body>[a]</body></html>", "[a]");
    let named = super::super::tests::parse("a.xhtml", b"<html><head><title>T</title><script/></head><body><p>a</p></body></html>").unwrap();
    assert_eq!((named.text.as_str(), named.title.as_deref()), ("a", Some("T")));
    assert!(
        super::super::tests::parse("a.html", b"<html><head><script/></head><body><p>a</p></body></html>").is_err(),
        "HTML has no closed script"
    );
}

#[test]
fn declared_encodings_lead_back_to_the_bytes() {
    let page = "<!doctype html><meta charset=shift_jis><title>保存</title><p>ワクチンは2度から8度で&amp;保管します。";
    let (bytes, _, _) = encoding_rs::SHIFT_JIS.encode(page);
    let parsed = super::super::tests::parse("a.html", &bytes).unwrap();
    assert_eq!((parsed.text.as_str(), parsed.title.as_deref()), ("ワクチンは2度から8度で&保管します。", Some("保存")));
    let at = parsed.text.find("保管").unwrap();
    let source = parsed.source(at..at + "保管".len());
    assert_eq!(encoding_rs::SHIFT_JIS.decode(&bytes[source]).0, "保管");
}

#[test]
fn hostile_pages_end() {
    let deep = |piece: &str| super::super::tests::parse("a.html", format!("<p>start {}", piece.repeat(20_000)).as_bytes());
    for piece in ["<div>", "<b>", "<table><tr><td>", "<svg>", "<math><mrow>", "<ul><li>", "<q>", "<select><optgroup>"] {
        if let Err(refusal) = deep(piece) {
            assert_eq!(refusal.code, "too_complex", "{piece}");
        }
    }
    let fonts: String = (0..5_000).map(|at| format!("<font size={at}><p>")).collect();
    assert_eq!(super::super::tests::parse("a.html", fonts.as_bytes()).unwrap_err().code, "too_complex");
    let named = |count: usize, within: usize| -> String {
        let attributes: Vec<String> = (0..count).map(|at| format!("a{at}")).collect();
        attributes.chunks(within).map(|names| format!("<p {}>x", names.join(" "))).collect()
    };
    for (page, words) in [(named(257, 257), "256 attributes"), (named(20_000, 200), "10000 different names")] {
        let refusal = super::super::tests::parse("a.html", page.as_bytes()).unwrap_err();
        assert!(refusal.code == "too_complex" && refusal.reason.contains(words), "{refusal:?}");
        let refusal = super::super::tests::parse("a.xhtml", page.as_bytes()).unwrap_err();
        assert!(refusal.code == "too_complex" && refusal.reason.contains(words), "{refusal:?}");
    }
    assert_eq!(read(&named(9_000, 200)).text.matches('x').count(), 45);
    let body = |at: usize| -> String { format!("<body {}>x", (0..200).map(|name| format!("b{at}x{name} ")).collect::<String>()) };
    assert_eq!(read(&(0..40).map(body).collect::<String>()).text, "x".repeat(40), "what is added to the one body is bounded");
    let wide = format!("<table>{}</table>", "<tr><td colspan=1000 rowspan=0>x".repeat(5_000));
    assert!(read(&wide).text.len() < 4 * wide.len() + 10_000);
    let spaces = format!("{}<p>x", " ".repeat(2_000_000));
    assert_eq!(read(&spaces).text, "x");
}
