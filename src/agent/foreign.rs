//! Pages in the names of another program, made when a request asks for them.

use super::pages::{Page, Rendered};
use super::slot::Slot;
use super::{Agent, Selection};
use crate::dialect::Dialect;
use crate::dialect::flags::{Settings, Tongue};
use crate::format::prometheus::{Syntax, Writer};
use crate::format::{Format, Gzip, Renderer};
use crate::model::{Family, Snapshot, key};
use std::time::Duration;

/// What a request names: the collectors to ask, or those to leave out. An empty list names none.
#[derive(Debug, Default)]
pub struct Choice<'a> {
    pub collect: Vec<std::borrow::Cow<'a, str>>,
    pub exclude: Vec<std::borrow::Cow<'a, str>>,
}

/// The other program's side of the agent. It costs nothing until somebody asks.
#[derive(Debug)]
pub struct Foreign {
    pub settings: Settings,
    at_work: Option<Box<AtWork>>,
}

#[derive(Debug)]
struct AtWork {
    dialect: Dialect,
    /// Writes what the other program does not know.
    rest: Writer,
    /// The agent's own collectors of which it knows all.
    covered: Selection,
    /// What the last choice was, as a hash of its names, and what it stands for: who asks again asks for the same, as a rule.
    chosen: Option<(u64, Chosen)>,
    /// Absent while it is being made, since making it needs the rest.
    page: Option<Rendered>,
    /// What the page was made of: a collection, both selections, and the dialect.
    made_of: Option<(u64, Selection, Selection, Tongue)>,
    /// Counts the pages that were made.
    made: u64,
}

/// What a choice stands for.
#[derive(Clone, Copy, Debug)]
struct Chosen {
    /// The agent's own collectors, and the other program's.
    own: Selection,
    other: Selection,
    /// The agent's own that rows of these are taken from.
    sources: Selection,
}

impl Foreign {
    pub const fn new(settings: Settings) -> Self {
        Foreign { settings, at_work: None }
    }
}

impl Agent {
    /// Returns the dialect of requests that do not say which.
    pub fn tongue(&self) -> Tongue {
        self.foreign.settings.tongue
    }

    /// Returns the agent's own collectors that a request chooses; the names may be those of the other program, too.
    ///
    /// # Errors
    /// Which names there are.
    pub fn choose(&mut self, choice: &Choice<'_>) -> Result<Selection, String> {
        let mut chosen = Selection::NONE;
        for name in choice.collect.iter().chain(&choice.exclude) {
            if let Some(place) = self.place(name) {
                chosen = chosen.with(place);
                continue;
            }
            let own: Vec<_> = self.at_work().dialect.own(name).ok_or_else(|| self.names(Tongue::Pi))?.collect();
            for name in own {
                chosen = self.place(name).map_or(chosen, |place| chosen.with(place));
            }
        }
        match (choice.collect.is_empty(), choice.exclude.is_empty()) {
            (true, true) => Ok(Selection::ALL),
            (false, true) => Ok(chosen),
            (true, false) => Ok(Selection::ALL.without(chosen)),
            (false, false) => Err("expected either collect[] or exclude[], found both\n".to_owned()),
        }
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.slots.iter().position(|slot| slot.registration.name == name)
    }

    fn names(&mut self, tongue: Tongue) -> String {
        let mut known: Vec<_> = self.slots.iter().map(|slot| slot.registration.name).collect();
        if tongue != Tongue::Pi {
            for name in self.at_work().dialect.names() {
                if !known.contains(&name) {
                    known.push(name);
                }
            }
        }
        format!("collect[]: expected one of {}\n", known.join(", "))
    }

    fn at_work(&mut self) -> &mut AtWork {
        let Agent { foreign, roots, machine, slots, .. } = self;
        foreign.at_work.get_or_insert_with(|| {
            let mut dialect = Dialect::new(&foreign.settings, roots, *machine);
            let is_known = |family: &Family| dialect.known.iter().any(|start| family.name().starts_with(start));
            let mut covered = Selection::NONE;
            for (place, slot) in slots.iter().enumerate() {
                if slot.families().all(is_known) {
                    covered = covered.with(place);
                }
            }
            let rest = Writer::without(Syntax::Text, std::mem::take(&mut dialect.known));
            let page = Some(Rendered::default());
            Box::new(AtWork { dialect, rest, covered, chosen: None, page, made_of: None, made: 0 })
        })
    }

    /// Puts what [`Agent::page_in`] would answer with, from the last collection, in the place of what `out` held.
    pub fn write_in(&mut self, tongue: Tongue, out: &mut Vec<u8>) {
        let other = self.at_work().dialect.defaults();
        let Agent { snapshot, foreign, renderer, .. } = self;
        if let Some(at_work) = &mut foreign.at_work {
            at_work.dialect.forget();
            at_work.write(tongue, other, snapshot, renderer, out);
            at_work.dialect.forget();
        }
    }

    /// Returns what a choice stands for, and remembers it.
    ///
    /// # Errors
    /// Which collectors there are.
    fn look_up(&mut self, tongue: Tongue, choice: &Choice<'_>, asked: u64) -> Result<Chosen, String> {
        let (mut own, mut other) = (Selection::NONE, Selection::NONE);
        for name in choice.collect.iter().chain(&choice.exclude) {
            let (mine, theirs) = (self.place(name), self.at_work().dialect.place(name));
            if mine.or(theirs).is_none() {
                return Err(self.names(tongue));
            }
            own = mine.map_or(own, |place| own.with(place));
            other = theirs.map_or(other, |place| other.with(place));
        }
        let defaults = self.at_work().dialect.defaults();
        (own, other) = match (choice.collect.is_empty(), choice.exclude.is_empty()) {
            (true, true) => (Selection::ALL, defaults),
            (false, true) => (own, other),
            (true, false) => (Selection::ALL.without(own), defaults.without(other)),
            (false, false) => return Err("expected either collect[] or exclude[], found both\n".to_owned()),
        };
        own = own.first(self.slots.len());
        let mut sources = Selection::NONE;
        let Agent { foreign, slots, .. } = self;
        if let Some(at_work) = &mut foreign.at_work {
            for source in at_work.dialect.sources(other) {
                let has = |slot: &Slot| slot.families().any(|family| family.name() == source);
                sources = slots.iter().position(has).map_or(sources, |place| sources.with(place));
            }
            at_work.chosen = Some((asked, Chosen { own, other, sources }));
        }
        Ok(Chosen { own, other, sources })
    }

    /// Returns a page in the names of the other program, and in the agent's own for what that does not know, or for all of it.
    ///
    /// # Errors
    /// Which collectors there are.
    pub async fn page_in(
        &mut self,
        tongue: Tongue,
        choice: &Choice<'_>,
        gzip: bool,
        max_age: Duration,
    ) -> Result<Page, String> {
        let names = choice.collect.iter().chain(&choice.exclude);
        let asked = names.fold(choice.collect.len() as u64, |hash, name| key(&**name, hash as usize));
        let Chosen { mut own, other, sources } = match self.at_work().chosen {
            Some((of, chosen)) if of == asked => chosen,
            _ => self.look_up(tongue, choice, asked)?,
        };
        let Some(at_work) = &mut self.foreign.at_work else { return Err(String::new()) };
        // A collector of which all is there under other names is not asked; what the other program's rows are taken from is collected,
        // but not shown.
        if tongue == Tongue::Node {
            own = own.without(at_work.covered);
        }
        let needed = own.and(sources);
        let id = self.snapshot_of(needed, max_age).await.moment.id;
        let Agent { snapshot, foreign, renderer, gzip: compressor, .. } = self;
        let Some(at_work) = &mut foreign.at_work else { return Err(String::new()) };
        let of = (id, own, other, tongue);
        if at_work.made_of != Some(of) {
            at_work.made_of = Some(of);
            at_work.made += 1;
        }
        snapshot.show(own);
        let level = gzip.then(|| compressor.level(Gzip::FAST));
        let mut page = at_work.page.take().unwrap_or_default();
        let made = page.get((at_work.made, 0), level, |out| at_work.write(tongue, other, snapshot, renderer, out));
        at_work.page = Some(page);
        Ok(made)
    }
}

impl AtWork {
    /// Puts the page in the place of what `out` held, which is the last page; `other` are the other program's collectors.
    fn write(&mut self, tongue: Tongue, other: Selection, own: &Snapshot, renderer: &mut Renderer, out: &mut Vec<u8>) {
        let AtWork { dialect, rest, .. } = self;
        let length = dialect.collect(other, own, out);
        if tongue == Tongue::Both {
            renderer.replace(Format::Prometheus, own, length, out);
        } else {
            rest.replace(own, length, out);
        }
    }
}
