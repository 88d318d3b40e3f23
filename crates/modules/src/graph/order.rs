//! What comes after what.

use super::{Edge, ModuleNode, ProviderNode};
use crate::{Error, ProviderScope};

/// How far the walk has come with one of the things that it orders.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    Open,
    Done,
}

/// A walk that ends each thing after all that it leads to.
struct Walk<'a, Step> {
    marks: Vec<Mark>,
    /// The way from where the walk began, with the step that was taken from each.
    way: Vec<(usize, Step)>,
    order: Vec<usize>,
    next: &'a dyn Fn(usize) -> Vec<(usize, Step)>,
}

impl<'a, Step: Clone> Walk<'a, Step> {
    fn new(count: usize, next: &'a dyn Fn(usize) -> Vec<(usize, Step)>) -> Self {
        Self { marks: vec![Mark::New; count], way: Vec::new(), order: Vec::new(), next }
    }

    /// Walks from `start`; the circle if there is one.
    fn visit(&mut self, start: usize) -> Result<(), Vec<(usize, Step)>> {
        match self.marks.get(start) {
            Some(Mark::New) => {}
            Some(Mark::Open) => {
                let begin = self.way.iter().position(|(index, _)| *index == start).unwrap_or(0);
                return Err(self.way.split_off(begin));
            }
            Some(Mark::Done) | None => return Ok(()),
        }
        self.mark(start, Mark::Open);
        for (index, step) in (self.next)(start) {
            self.way.push((start, step));
            self.visit(index)?;
            self.way.pop();
        }
        self.mark(start, Mark::Done);
        self.order.push(start);
        Ok(())
    }

    fn mark(&mut self, index: usize, mark: Mark) {
        if let Some(slot) = self.marks.get_mut(index) {
            *slot = mark;
        }
    }
}

/// The modules, each after those that it imports.
///
/// # Errors
/// [`Error::ModuleCycle`].
pub(super) fn modules(modules: &[ModuleNode]) -> Result<Vec<usize>, Error> {
    let next = |index: usize| -> Vec<(usize, ())> {
        modules
            .get(index)
            .into_iter()
            .flat_map(|module| &module.imports)
            .map(|import| (*import, ()))
            .collect()
    };
    let mut walk = Walk::new(modules.len(), &next);
    for index in 0..modules.len() {
        walk.visit(index).map_err(|circle| {
            let name = |index: usize| modules.get(index).map_or("", |module| &module.name);
            let mut path: Vec<_> = circle.iter().map(|(index, ())| format!("`{}`", name(*index))).collect();
            path.extend(path.first().cloned());
            Error::ModuleCycle { path: path.join(" → ") }
        })?;
    }
    Ok(walk.order)
}

/// The providers that live as long as the application, each after those that it needs.
///
/// # Errors
/// [`Error::ProviderCycle`], also among those of which each execution has its own.
pub(super) fn providers(modules: &[usize], providers: &[ProviderNode]) -> Result<Vec<usize>, Error> {
    let next = |index: usize| needs(index, providers);
    let mut walk = Walk::new(providers.len(), &next);
    for module in modules {
        let own = providers.iter().enumerate().filter(|(_, provider)| provider.module == *module);
        for (index, _) in own.filter(|(_, provider)| !provider.replaced) {
            walk.visit(index).map_err(|circle| cycle(&circle, providers))?;
        }
    }
    let long = |index: &usize| scope(*index, providers) == ProviderScope::Application;
    Ok(walk.order.into_iter().filter(long).collect())
}

/// What is needed of each execution's own to make the one at `index`, which is the last.
pub(super) fn plan(index: usize, providers: &[ProviderNode]) -> Vec<usize> {
    let short = |index: usize| scope(index, providers) == ProviderScope::Execution;
    let next =
        |index: usize| needs(index, providers).into_iter().filter(|(index, _)| short(*index)).collect();
    let mut walk = Walk::new(providers.len(), &next);
    // A graph with a circle is not built.
    let _ = walk.visit(index);
    walk.order
}

/// The providers that the one at `index` needs before it is made, with the field that takes each.
fn needs(index: usize, providers: &[ProviderNode]) -> Vec<(usize, String)> {
    let Some(provider) = providers.get(index) else { return Vec::new() };
    let field = |position: usize| provider.raw.needs.get(position).map_or("", |need| need.field()).to_owned();
    let step = |(position, edge): (usize, &Edge)| match edge {
        Edge::Value(source) => Some((source.provider, field(position))),
        // What each execution has its own of is not needed before there is one.
        Edge::Handle(source) if scope(source.provider, providers) == ProviderScope::Application => {
            Some((source.provider, field(position)))
        }
        Edge::Handle(_) | Edge::ExecutionId | Edge::Nothing => None,
    };
    provider.edges.iter().enumerate().filter_map(step).collect()
}

fn scope(index: usize, providers: &[ProviderNode]) -> ProviderScope {
    providers.get(index).map_or(ProviderScope::Application, |provider| provider.raw.scope)
}

fn cycle(circle: &[(usize, String)], providers: &[ProviderNode]) -> Error {
    let what = |index: usize| providers.get(index).map_or("", |provider| &provider.what);
    let first = circle.first().map_or("", |(index, _)| what(*index));
    let mut path: Vec<String> = circle
        .iter()
        .map(|(index, field)| match field.starts_with("parameter ") {
            true => format!("{} ({field})", what(*index)),
            false => format!("{} (field `{field}`)", what(*index)),
        })
        .collect();
    path.push(first.to_owned());
    Error::ProviderCycle { path: path.join(" → ") }
}
