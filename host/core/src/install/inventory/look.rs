//! What the list says.

use rusqlite::types::Type;
use rusqlite::{Error, OptionalExtension, Row, params};
use semver::{Version, VersionReq};

use super::{Began, Generation, Happened, Installed, Inventory, KEPT_BACK, Loaded, Offer, broken};
use crate::install::InstallError;

fn generation(row: &Row<'_>) -> rusqlite::Result<Generation> {
    let version: String = row.get(2)?;
    let no_version = |error| Error::FromSqlConversionFailure(2, Type::Text, Box::new(error));
    let list = |column: usize| -> rusqlite::Result<String> { row.get(column) };
    let unreadable = |column, error: serde_json::Error| {
        Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
    };
    Ok(Generation {
        number: row.get(0)?,
        plugin: row.get(1)?,
        version: Version::parse(&version).map_err(no_version)?,
        plugin_type: row.get(3)?,
        package: row.get(4)?,
        component: row.get(5)?,
        bytes: row.get(6)?,
        origin: row.get(7)?,
        setup: row.get(8)?,
        signed_by: serde_json::from_str(&list(9)?).map_err(|error| unreadable(9, error))?,
        dependencies: serde_json::from_str(&list(10)?).map_err(|error| unreadable(10, error))?,
        made: row.get(11)?,
        replaces: row.get(12)?,
    })
}

const GENERATION: &str = "number, plugin, version, type, package, component, bytes, origin, setup, signed_by, \
     dependencies, made, replaces";

impl Inventory {
    /// Every plugin that is installed, by name.
    ///
    /// # Errors
    ///
    /// The list cannot be read.
    pub fn all(&self) -> Result<Vec<Installed>, InstallError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT generation, next, enabled, highest FROM plugin WHERE generation IS NOT NULL ORDER BY name",
        )?;
        let rows = statement.query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get::<_, bool>(2)?, row.get::<_, String>(3)?))
        })?;
        rows.map(|row| self.installed(row?)).collect()
    }

    /// A plugin, if it is installed.
    ///
    /// # Errors
    ///
    /// The list cannot be read.
    pub fn find(&self, plugin: &str) -> Result<Option<Installed>, InstallError> {
        let row = self
            .connection
            .prepare_cached(
                "SELECT generation, next, enabled, highest FROM plugin WHERE name = ?1 AND generation IS NOT NULL",
            )?
            .query_row([plugin], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .optional()?;
        row.map(|row| self.installed(row)).transpose()
    }

    fn installed(
        &self,
        (generation, next, enabled, highest): (i64, Option<i64>, bool, String),
    ) -> Result<Installed, InstallError> {
        Ok(Installed {
            generation: self.generation(generation)?,
            enabled,
            next: next.map(|number| self.generation(number)).transpose()?.map(Box::new),
            highest: Version::parse(&highest).map_err(broken)?,
        })
    }

    /// A generation, by its number.
    pub(in crate::install) fn generation(&self, number: i64) -> Result<Generation, InstallError> {
        let mut statement = self
            .connection
            .prepare_cached(&format!("SELECT {GENERATION} FROM generation WHERE number = ?1"))?;
        Ok(statement.query_row([number], generation)?)
    }

    /// The latest version of a plugin that was ever installed here.
    pub(in crate::install) fn highest(&self, plugin: &str) -> Result<Option<Version>, InstallError> {
        let text: Option<String> = self
            .connection
            .query_row("SELECT highest FROM plugin WHERE name = ?1", [plugin], |row| row.get(0))
            .optional()?;
        text.map(|text| Version::parse(&text).map_err(broken)).transpose()
    }

    /// The digest of the package that a version of a plugin was when it was installed here.
    pub(in crate::install) fn known_as(
        &self,
        plugin: &str,
        version: &Version,
    ) -> Result<Option<String>, InstallError> {
        const OF: &str =
            "SELECT package FROM generation WHERE plugin = ?1 AND version = ?2 ORDER BY number DESC LIMIT 1";
        let row = self.connection.query_row(OF, params![plugin, version.to_string()], |row| row.get(0));
        Ok(row.optional()?)
    }

    /// The generations that an installed one took the place of, the latest first: those that can be gone back to.
    ///
    /// # Errors
    ///
    /// The list cannot be read.
    pub fn before(&self, installed: &Installed) -> Result<Vec<Generation>, InstallError> {
        let mut before = Vec::new();
        let mut replaces = installed.generation.replaces;
        while let Some(number) = replaces
            && before.len() < KEPT_BACK
        {
            let generation = self.generation(number)?;
            replaces = generation.replaces;
            before.push(generation);
        }
        Ok(before)
    }

    /// Installed plugins that need another one, with the versions of it that will do.
    pub(in crate::install) fn dependents(
        &self,
        plugin: &str,
    ) -> Result<Vec<(String, VersionReq)>, InstallError> {
        let mut found = Vec::new();
        for installed in self.all()? {
            for dependency in &installed.generation.dependencies {
                if dependency.plugin == plugin && !dependency.optional {
                    let versions = VersionReq::parse(&dependency.versions).map_err(broken)?;
                    found.push((installed.generation.plugin.clone(), versions));
                }
            }
        }
        Ok(found)
    }

    /// The last changes that were tried, the latest first: of one plugin, or of all.
    ///
    /// # Errors
    ///
    /// The list cannot be read.
    pub fn history(&self, plugin: Option<&str>, most: u32) -> Result<Vec<Happened>, InstallError> {
        let mut statement = self.connection.prepare(
            "SELECT id, plugin, change, state, phase, began, ended, uid, user, origin, before, after, code, message, \
             next_step FROM history WHERE ?1 IS NULL OR plugin = ?1 ORDER BY rowid DESC LIMIT ?2",
        )?;
        let rows = statement.query_map(params![plugin, most], |row| {
            Ok(Happened {
                id: row.get(0)?,
                plugin: row.get(1)?,
                change: row.get(2)?,
                state: row.get(3)?,
                phase: row.get(4)?,
                phases: Vec::new(),
                began: row.get(5)?,
                ended: row.get(6)?,
                uid: row.get(7)?,
                user: row.get(8)?,
                origin: row.get(9)?,
                before: row.get(10)?,
                after: row.get(11)?,
                code: row.get(12)?,
                message: row.get(13)?,
                next_step: row.get(14)?,
            })
        })?;
        let mut all: Vec<Happened> = rows.collect::<Result<_, _>>()?;
        let mut of = self.connection.prepare("SELECT phase, at FROM phase WHERE id = ?1 ORDER BY number")?;
        for happened in &mut all {
            let phases =
                of.query_map([&happened.id], |row| Ok(Began { phase: row.get(0)?, at: row.get(1)? }))?;
            happened.phases = phases.collect::<Result<_, _>>()?;
        }
        Ok(all)
    }

    /// The last loads, the latest first: of one plugin, or of all.
    ///
    /// # Errors
    ///
    /// The list cannot be read.
    pub fn loads(&self, plugin: Option<&str>, most: u32) -> Result<Vec<Loaded>, InstallError> {
        let mut statement = self.connection.prepare(
            "SELECT at, plugin, version, package, state, code, reason FROM load \
             WHERE ?1 IS NULL OR plugin = ?1 ORDER BY number DESC LIMIT ?2",
        )?;
        let rows = statement.query_map(params![plugin, most], |row| {
            Ok(Loaded {
                at: row.get(0)?,
                plugin: row.get(1)?,
                version: row.get(2)?,
                package: row.get(3)?,
                state: row.get(4)?,
                code: row.get(5)?,
                reason: row.get(6)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// What installed plugins offer, by kind and name.
    ///
    /// # Errors
    ///
    /// The list cannot be read.
    pub fn offers(&self) -> Result<Vec<Offer>, InstallError> {
        let mut statement = self.connection.prepare(
            "SELECT plugin.name, version, enabled, kind, offer.name, what FROM plugin \
             JOIN generation ON generation.number = plugin.generation \
             JOIN offer ON offer.generation = plugin.generation ORDER BY kind, offer.name, plugin.name",
        )?;
        let rows = statement.query_map([], |row| {
            Ok(Offer {
                plugin: row.get(0)?,
                version: row.get(1)?,
                enabled: row.get(2)?,
                kind: row.get(3)?,
                name: row.get(4)?,
                what: row.get(5)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The digests of all packages that are needed still.
    pub(in crate::install) fn needed(&self) -> Result<Vec<String>, InstallError> {
        let mut needed = Vec::new();
        for installed in self.all()? {
            needed.extend(self.before(&installed)?.into_iter().map(|generation| generation.package));
            needed.extend(installed.next.map(|next| next.package));
            needed.push(installed.generation.package);
        }
        Ok(needed)
    }
}
