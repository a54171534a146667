// Checks dashboards against Grafana's own TypeScript types (npm package @grafana/schema). No Grafana server is needed.
//
//   node validate.cjs [--self-test] DASHBOARD.json...
//
// Unknown keys, wrong types, values outside an enumeration and missing keys are errors. --self-test then breaks the
// first dashboard in several ways and fails unless each is found.
//
// Needs `npm ci` in this folder, or in NODE_PATH's. Exit status: 0 all is well, 1 something is not, 2 bad usage.
'use strict';
const fs = require('fs');
const path = require('path');
const Ajv = require('ajv');
const generator = require('ts-json-schema-generator');

const raw = path.join(path.dirname(require.resolve('@grafana/schema/package.json')), 'dist/types/raw');

// Grafana's name of a panel type, and the folder of its types.
const folders = { 'state-timeline': 'statetimeline' };

const ajv = new Ajv({ strict: false, allErrors: true, allowUnionTypes: true, verbose: true });
const compiled = new Map();

/// The check for a type in one of Grafana's files; null if the file has no such type.
function checker(file, type) {
  const key = file + '#' + type;
  if (!compiled.has(key)) {
    let check = null;
    const full = path.join(raw, file);
    if (fs.existsSync(full) && new RegExp(`\\b(interface|type) ${type}\\b`).test(fs.readFileSync(full, 'utf8'))) {
      const schema = generator.createGenerator({
        path: full, type, skipTypeCheck: true, additionalProperties: false, topRef: false, expose: 'export',
        tsconfig: path.join(__dirname, 'tsconfig.json'),
      }).createSchema(type);
      check = ajv.compile(schema);
    }
    compiled.set(key, check);
  }
  return compiled.get(key);
}

function words(error) {
  switch (error.keyword) {
    case 'additionalProperties': return `unknown key "${error.params.additionalProperty}"`;
    case 'enum': return `${JSON.stringify(error.data)} is none of ${JSON.stringify(error.params.allowedValues)}`;
    case 'required': return `no key "${error.params.missingProperty}"`;
    case 'type': return `${JSON.stringify(error.data)} is no ${error.params.type}`;
    default: return error.message;
  }
}

function run(check, value, where, faults) {
  if (!check(value)) for (const error of check.errors) faults.push(`${where}${error.instancePath}: ${words(error)}`);
}

/// What the types leave to data sources: the query of an annotation, and how Prometheus' ones are labelled.
function withoutSourceKeys(annotation) {
  if (annotation.datasource?.type !== 'prometheus') return annotation;
  const { target, titleFormat, textFormat, tagKeys, ...rest } = annotation;
  return rest;
}

function faultsOf(dashboard) {
  const faults = [];
  const model = 'dashboard/x/types.gen.d.ts';
  const { panels, ...rest } = dashboard;
  rest.annotations = { list: dashboard.annotations.list.map(withoutSourceKeys) };
  run(checker(model, 'Dashboard'), { ...rest, panels: [] }, '', faults);
  for (const panel of panels) {
    const where = `panel "${panel.title}"`;
    if (panel.type === 'row') {
      run(checker(model, 'RowPanel'), panel, where, faults);
      continue;
    }
    run(checker(model, 'Panel'), panel, where, faults);
    const file = `composable/${folders[panel.type] ?? panel.type}/panelcfg/x/types.gen.d.ts`;
    const options = checker(file, 'Options');
    if (!options) {
      faults.push(`${where}: no types for panels of type ${panel.type}`);
      continue;
    }
    run(options, panel.options, where + ' options', faults);
    const custom = panel.fieldConfig.defaults.custom;
    const fields = checker(file, 'FieldConfig');
    if (custom && fields) run(fields, custom, where + ' custom', faults);
  }
  return faults;
}

/// Ways to break a dashboard, each of which must be found.
const damages = {
  'unknown key of the dashboard': (d) => { d.colour = 'aqua'; },
  'wrong type of the refresh': (d) => { d.refresh = 30; },
  'unknown key of a panel': (d) => { d.panels.find((p) => p.type === 'stat').unit = 's'; },
  'unknown key of panel options': (d) => { d.panels.find((p) => p.type === 'stat').options.color = 'value'; },
  'bad enumeration in panel options': (d) => { d.panels.find((p) => p.type === 'stat').options.graphMode = 'curve'; },
  'bad enumeration in field options': (d) => { d.panels.find((p) => p.type === 'timeseries').fieldConfig.defaults.custom.drawStyle = 'curve'; },
  'missing threshold mode': (d) => { delete d.panels.find((p) => p.type === 'stat').fieldConfig.defaults.thresholds.mode; },
  'unknown panel type': (d) => { d.panels.find((p) => p.type === 'stat').type = 'statistics'; },
  'unknown key of a variable': (d) => { d.templating.list[0].value = 'x'; },
};

let names = process.argv.slice(2);
const selfTest = names[0] === '--self-test';
if (selfTest) names = names.slice(1);
if (names.length === 0) {
  console.error('usage: node validate.cjs [--self-test] DASHBOARD.json...');
  process.exit(2);
}
for (const name of names) {
  const faults = faultsOf(JSON.parse(fs.readFileSync(name, 'utf8')));
  for (const fault of faults) console.log(`FAIL ${path.basename(name)}: ${fault}`);
  if (faults.length > 0) process.exitCode = 1;
  else console.log(`PASS ${path.basename(name)} fits Grafana's schema`);
}
if (selfTest) {
  const text = fs.readFileSync(names[0], 'utf8');
  const missed = Object.entries(damages).filter(([, damage]) => {
    const dashboard = JSON.parse(text);
    damage(dashboard);
    return faultsOf(dashboard).length === 0;
  });
  for (const [what] of missed) console.log(`FAIL the schema check does not find: ${what}`);
  if (missed.length > 0) process.exitCode = 1;
  else console.log(`PASS the schema check finds ${Object.keys(damages).length} kinds of damage`);
}
