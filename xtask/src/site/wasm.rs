//! The browser's half: compiled, bound to JavaScript by the `wasm-bindgen` library, and made smaller where
//! Binaryen can be had.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;
use wasm_bindgen_cli_support::Bindgen;

use super::Quality;
use crate::{
    command::{self, cargo},
    tools,
    workspace::Workspace,
};

const TARGET: &str = "wasm32-unknown-unknown";
const PROFILE: &str = "wasm-release";
/// The npm package with `wasm-opt`; a newer one may be taken freely.
const BINARYEN: &str = "binaryen@132.0.0";

/// What the compiler makes use of by default, and every browser of the last years knows.
const FEATURES: &[&str] = &[
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

/// What the browser gets.
pub(super) struct Module {
    pub(super) wasm: Vec<u8>,
    /// JavaScript that crates brought along, by the path under which the loader imports it.
    pub(super) snippets: BTreeMap<String, String>,
    js: String,
}

impl Module {
    /// The JavaScript that fetches the WebAssembly named `wasm` from its own folder, and starts it: one module, no
    /// inline script, so that a strict Content-Security-Policy holds.
    pub(super) fn loader(&self, wasm: &str) -> String {
        let then = if self.js.contains("export function hydrate(") { ".then(() => hydrate())" } else { "" };
        let start = format!("__wbg_init({{ module_or_path: new URL('{wasm}', import.meta.url) }}){then};");
        format!("{}\n{start}\n", self.js)
    }
}

/// Compiles `frontend` and gives the raw module.
pub(super) fn compile(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let (library, bindgen) =
        (workspace.version("wasm-bindgen")?, workspace.version("wasm-bindgen-cli-support")?);
    anyhow::ensure!(
        library == bindgen,
        "wasm-bindgen is {library} but wasm-bindgen-cli-support is {bindgen}: they must be the same; \
         run `cargo update -p wasm-bindgen-cli-support --precise {library}`"
    );
    tools::wasm_target(TARGET)?;
    command::run(cargo().current_dir(&workspace.root).args([
        "build",
        "--package",
        "frontend",
        "--lib",
        "--target",
        TARGET,
        "--profile",
        PROFILE,
    ]))?;
    Ok(workspace.target.join(TARGET).join(PROFILE).join("frontend.wasm"))
}

/// Writes the loader, and optimises.
pub(super) fn bind(raw: &Path, optimiser: Option<&Optimiser>) -> anyhow::Result<Module> {
    let mut output = Bindgen::new()
        .input_bytes("magpie", fs::read(raw).with_context(|| raw.display().to_string())?)
        .web(true)?
        .typescript(false)
        .omit_default_module_path(true)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate_output()?;
    let mut snippets: BTreeMap<_, _> =
        output.local_modules().iter().map(|(path, text)| (path.clone(), text.clone())).collect();
    for (folder, texts) in output.snippets() {
        for (index, text) in texts.iter().enumerate() {
            snippets.insert(format!("{folder}/inline{index}.js"), text.clone());
        }
    }
    let js = output.js().to_owned();
    leave_out_second_hydration(output.wasm_mut());
    let mut wasm = output.wasm_mut().emit_wasm();
    if let Some(optimiser) = optimiser {
        wasm = optimiser.run(&wasm)?;
    }
    Ok(Module { wasm, snippets, js })
}

/// The way in which Leptos hydrates pages that load their parts later (`hydrate_lazy`). It is compiled for every view
/// whether it is called or not, a sixth of all code; we call `hydrate_body`, which is another.
const SECOND_HYDRATION: &str = "hydrate_async";
/// Instructions of what is certainly no function that others share because they look alike.
const LARGE: u64 = 64;

/// Has what is never called do nothing but trap, so that the optimiser removes it with all that it needs.
fn leave_out_second_hydration(module: &mut walrus::Module) {
    let is_second = |function: &walrus::Function| {
        let name = function.name.as_deref().unwrap_or_default();
        let size = |function: &walrus::LocalFunction| function.size();
        name.contains(SECOND_HYDRATION)
            && matches!(&function.kind, walrus::FunctionKind::Local(local) if size(local) >= LARGE)
    };
    let second: Vec<_> = module.funcs.iter().filter(|one| is_second(one)).map(walrus::Function::id).collect();
    for id in second {
        let kind = module.types.get(module.funcs.get(id).ty());
        let (params, results) = (kind.params().to_vec(), kind.results().to_vec());
        let mut trap = walrus::FunctionBuilder::new(&mut module.types, &params, &results);
        trap.func_body().unreachable();
        let arguments = params.iter().map(|kind| module.locals.add(*kind)).collect();
        module.funcs.get_mut(id).kind = walrus::FunctionKind::Local(trap.local_func(arguments));
    }
}

/// `wasm-opt` under node. The build is complete without it, only some percent larger.
pub(super) struct Optimiser {
    node: PathBuf,
    script: PathBuf,
}

impl Optimiser {
    /// Looks for it in the target folder, and installs it there from npm where that works.
    pub(super) fn find(workspace: &Workspace, quality: Quality) -> Option<Self> {
        if quality == Quality::Draft {
            return None;
        }
        let found = Self::install(&workspace.target.join("binaryen"));
        if found.is_none() {
            eprintln!("   wasm-opt: skipped (needs node and npm)");
        }
        found
    }

    fn install(folder: &Path) -> Option<Self> {
        let node = command::find("node")?;
        let script = folder.join("node_modules/binaryen/bin/wasm-opt");
        if !script.is_file() {
            let mut npm = Command::new(command::find("npm")?);
            npm.args([
                "install",
                "--no-save",
                "--no-audit",
                "--no-fund",
                "--ignore-scripts",
                "--loglevel=error",
            ]);
            command::run(npm.arg("--prefix").arg(folder).arg(BINARYEN)).ok()?;
        }
        script.is_file().then_some(Self { node, script })
    }

    fn run(&self, wasm: &[u8]) -> anyhow::Result<Vec<u8>> {
        let folder = self.script.ancestors().nth(4).context("wasm-opt lies in its package")?;
        let (before, after) = (folder.join("before.wasm"), folder.join("after.wasm"));
        fs::write(&before, wasm)?;
        let mut optimise = Command::new(&self.node);
        optimise.arg(&self.script).arg(&before).arg("-Oz").args(FEATURES).arg("--output").arg(&after);
        command::run(&mut optimise)?;
        Ok(fs::read(&after)?)
    }
}
