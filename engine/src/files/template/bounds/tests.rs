use super::super::ChatTemplate;
use super::*;
use crate::kernels::counting::most_bytes;
use crate::{Message, Part, Role};

fn bounded(source: &str) -> String {
    Bounded::new(source).unwrap_or_else(|error| panic!("{source}: {error}")).source.replace(KEPT, "kept")
}

#[test]
fn kept_values_are_measured() {
    for (source, expected) in [
        ("a{{ b }}c{# {% set x = 1 %} #}", "a{{ b }}c{# {% set x = 1 %} #}"),
        ("{%- set x = a if b == 'c=%}' else {'d': 1} -%}\n", "{%- set x = (a if b == 'c=%}' else {'d': 1}) | kept -%}\n"),
        ("{% set ns.x = y %}", "{% set ns.x = (y) | kept %}"),
        ("{% set a, b = 1, 2 %}", "{% set a, b = (1, 2) | kept %}"),
        ("{% set x %}y{% endset -%} z", "{% set x %}y{% endset -%}{% set x = x | kept -%} z"),
        ("{% for k, v in x.items() if v +%}\n", "{% for k, v in x.items() if v +%}{% set k = k | kept +%}{% set v = v | kept +%}\n"),
        ("{%- macro m(a, b=[1, 2]) %}", "{%- macro m(a, b=[1, 2]) %}{% set a = a | kept %}{% set b = b | kept %}"),
        ("{{ {'a': {'b': '}}'}}['a'] }}{", "{{ {'a': {'b': '}}'}}['a'] }}{"),
        ("{% raw %}{% set x = 1 %}{% endraw %}", "{% raw %}{% set x = 1 %}{% endraw %}"),
        ("{% set x = ", "{% set x = "),
        ("{%%}{%-%}{{}}", "{%%}{%-%}{{}}"),
    ] {
        assert_eq!(bounded(source), expected);
    }
    for source in
        ["{% with a = 1 %}", "{% call m() %}", "{% filter upper %}", &format!("{{{{ a{} }}}}", " ~ a".repeat(101)), "{{ 2 * 3 * 4 * 5 }}"]
    {
        assert!(Bounded::new(source).is_err(), "{source}");
    }
}

/// Each would take gigabytes, or end the process.
#[test]
fn no_template_takes_memory_without_end() {
    let message = "{{ messages[0].content }}";
    let grow = |step: &str| format!("{{% set ns = namespace(s='ab', l=[1]) %}}{{% for a in range(60) %}}{step}{{% endfor %}}{message}");
    let names: String = (0..40).map(|at| format!("{{% for a{} in [a{at} ~ a{at}] %}}", at + 1)).collect();
    let mut templates = vec![
        grow("{% set ns.s = ns.s ~ ns.s %}"),
        grow("{% set ns.s = ns.s + ns.s %}"),
        grow("{% set ns.s = [ns.s, ns.s] | join %}"),
        grow("{% set ns.s = ns.s.join([ns.s, ns.s]) %}"),
        grow("{% set ns.s = ns.s | replace('a', ns.s) %}"),
        grow("{% set ns.s = ns.s.replace('', ns.s) %}"),
        grow("{% set ns.s = '{0}{0}'.format(ns.s) %}"),
        grow("{% set ns.s = ns.s | tojson | tojson %}"),
        grow("{% set ns.s = ns.s | list | string %}"),
        grow("{% set ns.l = ns.l + ns.l %}"),
        grow("{% set ns.l = [ns.l, ns.l] %}") + "{{ ns.l }}",
        grow("{% set t %}{{ ns.s }}{{ ns.s }}{% endset %}{% set ns.s = t %}"),
        grow("{% set ns.s = ns.s * 9999999 %}"),
        format!("{{% macro m(s, n) %}}{{% if n %}}{{{{ m(s ~ s, n - 1) }}}}{{% endif %}}{{% endmacro %}}{{{{ m('ab', 60) }}}}{message}"),
        format!("{{% set a0 = 'ab' %}}{names}{}{message}", "{% endfor %}".repeat(40)),
        format!("{{% set s %}}{{% for a in range(99999) %}}{}{{% endfor %}}{{% endset %}}{message}", "x".repeat(100_000)),
        format!("{{{{ '{{:>999999999}}'.format(1) }}}}{message}"),
        format!("{{{{ 'a\\na' | indent(999999999) }}}}{message}"),
        format!("{{{{ [1] | tojson(indent=999999999) }}}}{message}"),
    ];
    templates.push(format!("{{% set x = '{}' %}}{message}", "ab".repeat(100_000)) + &"{{ x ~ x }}".repeat(100));
    let messages = [Message { role: Role::User, parts: vec![Part::Text("Why?".to_owned())] }];
    for template in templates {
        let shown: String = template.chars().take(120).collect();
        let (result, most) = most_bytes(|| {
            ChatTemplate::parse(&template, "", "").and_then(|template| template.render(&messages, true).map_err(|error| error.to_string()))
        });
        assert!(result.is_err(), "{shown}");
        assert!(most < 256 << 20, "{shown}: {most} bytes");
    }
}
