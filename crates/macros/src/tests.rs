//! Whole expansions over token streams: what the compiler sees is held by `tests/ui`, what only tokens show is held here.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens, quote};

use crate::{
    Pass, expand_injectable, expand_module, expand_state, expand_workflow,
    options::{ATTRIBUTES, Attribute, Opt},
    paths,
};

fn tokens(text: &str) -> TokenStream {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// What the messages of an expansion say, in order.
fn messages(expansion: &TokenStream) -> Vec<String> {
    let mut found = Vec::new();
    let mut compile_error = false;
    for token in expansion.clone() {
        match token {
            TokenTree::Ident(ident) => compile_error = ident == "compile_error",
            TokenTree::Group(group) if compile_error => {
                found.extend(syn::parse2::<syn::LitStr>(group.stream()).map(|message| message.value()));
                compile_error = false;
            }
            TokenTree::Group(group) => found.extend(messages(&group.stream())),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
    found
}

/// Expands `item` under `#[workflow(state = S)]`.
fn workflow(item: &str) -> TokenStream {
    expand_workflow(quote!(state = S), tokens(item), Pass::First)
}

/// A workflow of one node that carries `attributes`.
fn one_node(attributes: &str) -> String {
    format!(
        "impl W {{ {attributes} async fn a(&self, state: &S, ctx: &NodeContext) -> NodeResult<SUpdate> {{}} }}"
    )
}

/// Expands an item that uses `option` of `attribute`.
fn expansion_with(attribute: &Attribute, is_field: bool, option: &str) -> TokenStream {
    match (attribute.name, is_field) {
        ("workflow", _) => {
            let arguments =
                if option.starts_with("state") { option.into() } else { format!("state = S, {option}") };
            expand_workflow(tokens(&arguments), tokens(&one_node("#[node(start)]")), Pass::First)
        }
        ("node", _) => {
            let named = |name: &str| option.split([' ', '(']).next() == Some(name);
            let (mut parameters, mut more) = ("s: &S", ", routes(\"draft\", end)");
            let mut output = "NodeResult<Goto<SUpdate>>";
            if named("gather") {
                (output, more) = ("impl Stream<Item = String>", "");
            } else if named("routes") {
                more = "";
            } else if named("each") || named("concurrency") {
                (parameters, output) = ("s: &S, item: &String", "NodeResult<SUpdate>");
                more = if named("each") { "" } else { ", each = \"parts\"" };
            } else if named("workflow") {
                (parameters, output) = ("s: &S, ctx: &NodeContext", "NodeResult<SUpdate>");
                more = ", kind = \"subgraph\"";
            }
            let start = if option == "start" { "" } else { "start, " };
            let first = if option.starts_with("name") { "first-draft" } else { "a" };
            workflow(&format!(
                "impl W {{
                    #[node({start}{option}{more})] async fn a(&self, {parameters}) -> {output} {{}}
                    #[node(after = \"{first}\", name = \"draft\")] async fn b(&self, s: &S) -> NodeResult<SUpdate> {{}}
                }}"
            ))
        }
        ("state", true) if option == "commutes" => {
            state("struct S { #[state(reducer = mine, commutes)] words: Vec<String> }")
        }
        ("state", true) => state(&format!("struct S {{ #[state({option})] words: Vec<String> }}")),
        ("state", false) => state(&format!("#[state({option})] struct S {{ words: Vec<String> }}")),
        (name, _) => workflow(&one_node(&format!("#[node(start)] #[{name}({option})]"))),
    }
}

fn state(item: &str) -> TokenStream {
    expand_state(&syn::parse_str(item).unwrap_or_else(|error| panic!("{item}: {error}")))
}

#[test]
fn every_listed_option_is_read_and_changes_the_expansion() {
    fn walk(attribute: &Attribute, is_field: bool, options: &[Opt], wrap: &dyn Fn(&str) -> String) -> usize {
        let mut count = 0;
        for option in options {
            let with = expansion_with(attribute, is_field, &wrap(option.example));
            assert_eq!(messages(&with), [""; 0], "#[{}({})]", attribute.name, wrap(option.example));
            let neutral = match (attribute.name, option.name) {
                // These are part of the frame that the option is tried in.
                ("workflow", "state") | ("node", "start" | "routes" | "name" | "after") => None,
                ("node", _) => Some(expansion_with(attribute, is_field, "kind = \"standard\"")),
                ("workflow", _) => Some(expansion_with(attribute, is_field, "state = S")),
                _ => Some(expansion_with(attribute, is_field, "")),
            };
            if let Some(neutral) = neutral {
                assert_ne!(with.to_string(), neutral.to_string(), "#[{}({})]", attribute.name, option.name);
            }
            let inner = |example: &str| wrap(&format!("{}({example})", option.name));
            count += 1 + walk(attribute, is_field, option.options, &inner);
        }
        count
    }
    let mut count = 0;
    for (index, attribute) in ATTRIBUTES.iter().enumerate() {
        let is_field = index + 1 == ATTRIBUTES.len();
        count += walk(attribute, is_field, attribute.options, &str::to_owned);
    }
    assert_eq!(count, 119, "an option came or went; count again, so that none slips out of the walk");
}

#[test]
fn a_body_is_emitted_token_for_token_also_half_typed() {
    let body = "{ let x = self . ; state . prompt . \n ctx.token(| , ) ; match { } if #[odd] 'a }";
    let expansion = workflow(&format!(
        "impl W {{ #[node(start)] pub(crate) async fn a(&self, s: &S) -> NodeResult<SUpdate> {body} }}"
    ));
    assert_eq!(messages(&expansion), [""; 0]);
    let expected =
        format!("pub (crate) async fn a (& self , s : & S) -> NodeResult < SUpdate > {}", tokens(body));
    let expansion = expansion.to_string();
    let squeeze = |text: &str| text.split_whitespace().collect::<String>();
    assert!(squeeze(&expansion).contains(&squeeze(&expected)), "{expansion}");
    assert!(expansion.contains("definition"), "the glue is there: {expansion}");
}

#[test]
fn a_method_without_a_body_yet_costs_its_neighbours_nothing() {
    let expansion = workflow(
        "impl W {
            #[node(start)] async fn a(&self, s: &S)
            #[node(after = \"a\")] async fn b(&self, s: &S) -> NodeResult<SUpdate> { keep_me() }
        }",
    );
    assert!(expansion.to_string().contains("keep_me"), "{expansion}");
    assert!(!expansion.to_string().contains("# [node"), "no attribute of ours stays: {expansion}");
}

#[test]
fn all_mistakes_are_told_at_once() {
    let expansion = workflow(
        "impl W {
            #[node(start, retries = 3)]
            #[stream_token(bufer_size = 1, flush_interval = 100)]
            async fn a(&self, s: &S) -> NodeResult<SUpdate> {}
            #[node(after = \"aa\")]
            async fn b(&mut self, s: &S) -> NodeResult<SUpdate> {}
            #[node(after = \"bb\")]
            async fn c(&self, s: &S) -> NodeResult<SUpdate> {}
        }",
    );
    let messages = messages(&expansion);
    for part in ["`retries`", "`bufer_size`", "`flush_interval = 100`", "take `&self`"] {
        assert_eq!(
            messages.iter().filter(|message| message.contains(part)).count(),
            1,
            "{part}: {messages:#?}"
        );
    }
}

#[test]
fn what_is_wrong_leaves_the_users_items_and_a_stand_in() {
    let expansion = workflow(
        "impl W {
            const LIMIT: u32 = 3;
            #[node(start, kid = \"llm\")]
            #[cfg_attr(x, stream_token, inline)]
            async fn a(&self, s: &S) -> NodeResult<SUpdate> { body() }
        }",
    )
    .to_string();
    let second = expand_workflow(
        quote!(state = S),
        tokens("impl W { #[node(start, kid = 1)] #[inline] async fn a(&self, s: &S) -> R { body() } const X: u8 = 1; }"),
        Pass::Second,
    )
    .to_string();
    assert!(expansion.contains("workflow_configured"), "a question first: {expansion}");
    for part in ["compile_error", "# [inline]", "body ()", "const X", "Workflow for W"] {
        assert!(second.contains(part), "{part}: {second}");
    }
    assert!(!second.contains("# [node"), "{second}");
}

#[test]
fn the_compilers_answers_decide_which_nodes_there_are() {
    let block = "impl W {
        #[cfg(one)] #[node(start)] async fn a(&self, s: &S) -> NodeResult<SUpdate> { one() }
        #[cfg(not(one))] #[node(start)] async fn a(&self, s: &S) -> NodeResult<SUpdate> { two() }
        #[node(after = \"a\")]
        #[cfg_attr(one, stream_token(buffer_size = 7), cfg_attr(deep, stream_progress))]
        async fn b(&self, s: &S) -> NodeResult<SUpdate> {}
        #[cfg(other)] fn untouched(&self) {}
    }";
    let asked = workflow(block).to_string();
    for index in 0..4 {
        assert!(asked.contains(&format!("streamnest:cfg:{index}")), "{asked}");
    }
    assert!(!asked.contains("streamnest:cfg:4"), "what is no node keeps its own `#[cfg]`: {asked}");
    let answered = |answers: &[u32]| {
        let answers: String =
            answers.iter().map(|index| format!("#[doc = \"streamnest:cfg:{index}\"]")).collect();
        expand_workflow(quote!(state = S), tokens(&format!("{answers} {block}")), Pass::Second)
    };
    let one = answered(&[0, 2]);
    assert_eq!(messages(&one), [""; 0]);
    let one = one.to_string();
    assert!(one.contains("one ()") && !one.contains("two ()"), "{one}");
    assert!(one.contains("with_buffer_size (7usize)") && !one.contains("stream_progress"), "{one}");
    assert!(one.contains("# [cfg (other)]"), "{one}");
    let two = answered(&[1, 3]).to_string();
    assert!(two.contains("two ()") && !two.contains("one ()") && !two.contains("stream_token"), "{two}");
    assert!(!two.contains("streamnest:cfg"), "the answers are not left behind: {two}");
}

#[test]
fn generated_code_uses_every_name_of_the_list_and_no_other() {
    let everything = [
        expand_workflow(
            quote!(state = S, on_disconnect = "cancel"),
            tokens(
                "impl W {
                    #[node(kind = \"llm\", start)]
                    #[stream_token(format = \"json\", filter(min_length = 1))]
                    #[stream_event(events(ToolStart), delivery = \"exactly-once\", filter(min_priority = \"high\"))]
                    #[stream_progress(granularity = \"coarse\", format(show_rate))]
                    async fn a(&self, s: &S) -> NodeResult<SUpdate> {}
                    #[node(after = \"a\", gather = \"x\", retry(on(retryable)))] fn b(&self, s: &S) -> impl Stream<Item = String> {}
                    #[node(after = \"b\", each = \"x\")] async fn c(&self, s: &S, i: &I) -> NodeResult<()> {}
                }",
            ),
            Pass::First,
        ),
        workflow(&format!("#[cfg(x)] {}", one_node("#[node(start)]"))),
        state("struct S { #[state(reducer = append)] x: String }"),
        expand_module(
            quote!(providers(value(1), A as dyn B), workflows(W)),
            quote!(
                struct M;
            ),
        ),
        expand_injectable(
            quote!(scope = "execution", init = begin, shutdown = end),
            quote!(
                struct A {
                    b: Arc<dyn B>,
                }
            ),
        ),
    ];
    let mut used = BTreeSet::new();
    for expansion in everything {
        assert_eq!(messages(&expansion), [""; 0]);
        let text = expansion.to_token_stream().to_string();
        used.extend(
            text.split("__private :: ").skip(1).map(|rest| {
                rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()
            }),
        );
    }
    assert_eq!(used, paths::NAMES.iter().map(|name| (*name).to_owned()).collect());
}

#[test]
fn a_group_of_stream_all_reads_what_its_attribute_reads() {
    fn walk(group: &str, options: &[Opt], wrap: &dyn Fn(&str) -> String) {
        for option in options {
            let written = wrap(option.example);
            let alone =
                workflow(&one_node(&format!("#[node(start)] #[stream_{group}({written})]"))).to_string();
            let grouped =
                workflow(&one_node(&format!("#[node(start)] #[stream_all({group}({written}))]"))).to_string();
            // The call that the attribute comes to, as far as its own parentheses go.
            let call = alone
                .split(&format!(". stream_{group}"))
                .nth(1)
                .unwrap()
                .split(" ; __streamnest_node")
                .next()
                .unwrap();
            assert!(call.contains("with_") && grouped.contains(call), "{written}: {call} in {grouped}");
            walk(group, option.options, &|example| wrap(&format!("{}({example})", option.name)));
        }
    }
    for group in crate::options::STREAM_ALL.options {
        walk(group.name, group.options, &str::to_owned);
    }
}

#[test]
fn a_renamed_facade_is_the_only_one_that_is_named() {
    let arguments = quote!(state = S, crate = deps::nest, on_disconnect = "cancel");
    let block = one_node("#[node(start)] #[stream_all(token(format = \"json\"))]");
    let asked = expand_workflow(arguments.clone(), tokens(&format!("#[cfg(x)] {block}")), Pass::First);
    let expanded = expand_workflow(arguments, tokens(&block), Pass::Second);
    let state = state("#[state(crate = deps::nest)] struct S { x: String }");
    let module = expand_module(quote!(crate = deps::nest, workflows(W)), tokens("struct M;"));
    let injectable = expand_injectable(quote!(crate = deps::nest, init = begin), tokens("struct A(Arc<B>);"));
    for expansion in [asked, expanded, state, module, injectable] {
        let text = expansion.to_string();
        assert!(text.contains("deps :: nest :: __private") && !text.contains(":: streamnest ::"), "{text}");
    }
}

#[test]
fn a_circle_beside_the_start_is_told_once() {
    let node = |name: &str, options: &str, output: &str| {
        format!("#[node({options})] async fn {name}(&self, s: &S) -> NodeResult<{output}> {{}}")
    };
    let nodes = [
        node("a", "start, routes(\"b\", end)", "Goto<SUpdate>"),
        node("b", "after = \"c\"", "SUpdate"),
        node("c", "after = \"b\"", "SUpdate"),
    ];
    let told = messages(&workflow(&format!("impl W {{ {} }}", nodes.join(" "))));
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told.iter().all(|message| message.contains("never ends")), "{told:#?}");
}

#[test]
fn a_wrong_entry_of_a_list_costs_its_neighbours_nothing_and_each_is_told() {
    let arguments =
        "imports(A, A), providers(valu(1), 7, X as Y, X), exports(dyn T, dyn T, fnord(x)), workflow(W)";
    let told = messages(&expand_module(tokens(arguments), tokens("struct M;")));
    let parts = [
        "`valu(…)` is no form of a provider; did you mean `value`?",
        "`7` is a value; write `value(7)`",
        "`as Y` names no trait object; write `as dyn Y`",
        "`fnord(…)` is no form of an export",
        "unknown `#[module]` option `workflow`; did you mean `workflows`?",
        "`A` is listed twice in `imports(…)`",
        "`dyn T` is listed twice in `exports(…)`",
    ];
    for part in parts {
        assert_eq!(told.iter().filter(|message| message.contains(part)).count(), 1, "{part}: {told:#?}");
    }
    assert_eq!(told.len(), parts.len(), "{told:#?}");
}

#[test]
fn an_injectable_that_is_wrong_leaves_the_struct_without_our_attributes_and_a_stand_in() {
    let item = "pub struct A<T: B> { #[inject(nam = \"x\")] #[cfg(y)] a: Arc<T>, #[inject] b: Arc<C> }";
    let expansion = expand_injectable(TokenStream::new(), tokens(item));
    let told = messages(&expansion);
    assert_eq!(told.len(), 2, "{told:#?}");
    let text = expansion.to_string();
    for part in ["pub struct A", "# [cfg (y)] a", "Injectable for A < T >"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("# [inject"), "{text}");
}
