// The whole FHIR interface, by the hand of a client library of another maker:
// every interaction, search and operation with what a client expects of each.
// All steps are tried; the script fails in the end when one did.

import assert from 'node:assert/strict';
import { Client, CapabilityTool } from 'fhir-kit-client';
import { connect, hours, root } from './exchange.mjs';

const { demo, system, fhir } = await connect();
const run = `api-js-${process.pid}-${Date.now()}`;
const naming = 'http://hospital.example/sid/test';

const steps = [];
const step = (name, act) => steps.push({ name, act });

/** The status with which the server refuses, and its OperationOutcome. */
async function refused(status, act) {
  const error = await act().then(() => assert.fail('it was accepted'), (e) => e);
  assert.equal(error.response?.status, status, `${error.message}: ${JSON.stringify(error.response?.data)}`);
  assert.equal(error.response.data.resourceType, 'OperationOutcome');
  assert.ok(error.response.data.issue[0].diagnostics, 'the outcome says why');
  return error.response.data;
}

const header = (resource, name) => Client.httpFor(resource).response.headers.get(name);
const status = (resource) => Client.httpFor(resource).response.status;
const ids = (bundle, mode = 'match') => (bundle.entry ?? [])
  .filter((e) => e.search?.mode === mode).map((e) => `${e.resource.resourceType}/${e.resource.id}`);
const value = (parameters, name) => {
  const found = parameters.parameter.find((p) => p.name === name) ?? {};
  return Object.entries(found).find(([key]) => key.startsWith('value'))?.[1];
};
const link = (bundle, relation) => bundle.link?.find((l) => l.relation === relation)?.url;

/** All pages of a result, forward. */
async function pages(bundle) {
  const all = [bundle];
  for (let next = bundle; (next = await fhir.nextPage({ bundle: next }));) {
    all.push(next);
    assert.ok(all.length < 100, 'the pages have no end');
  }
  return all;
}

const patient = { resourceType: 'Patient', id: `${run}-p`, active: true, name: [{ family: 'Client', given: ['Java', 'Script'] }],
  gender: 'female', birthDate: '1990-02-03', identifier: [{ system: naming, value: run }],
  managingOrganization: { reference: `Organization/${system.organization}` } };
const observation = (n, more = {}) => ({ resourceType: 'Observation', status: 'final', identifier: [{ system: naming, value: `${run}-${n}` }],
  code: { coding: [{ system: 'http://loinc.org', code: '8867-4', display: 'Heart rate' }] }, subject: { reference: `Patient/${patient.id}` },
  effectiveDateTime: `2026-01-0${n}T08:00:00+08:00`,
  valueQuantity: { value: 60 + n, unit: 'beats/minute', system: 'http://unitsofmeasure.org', code: '/min' }, ...more });

// ---- What the server says of itself

let capabilities;
step('capabilities', async () => {
  const statement = await fhir.capabilityStatement();
  assert.equal(statement.fhirVersion, '4.0.1');
  capabilities = new CapabilityTool(statement);
  for (const interaction of ['transaction', 'batch', 'history-system', 'search-system']) {
    assert.ok(capabilities.serverCan(interaction), interaction);
  }
  for (const interaction of ['read', 'vread', 'update', 'patch', 'delete', 'history-instance', 'history-type', 'create', 'search-type']) {
    assert.ok(capabilities.resourceCan('Observation', interaction), interaction);
  }
  assert.ok(capabilities.resourceSearch('Observation', 'value-quantity'));
});
step('SMART configuration', async () => {
  const configuration = await fhir.request('.well-known/smart-configuration');
  assert.equal(configuration.token_endpoint, `${demo.server}/auth/token`);
});

// ---- One record

step('update creates', async () => {
  const created = await fhir.update({ resourceType: 'Patient', id: patient.id, body: patient });
  assert.equal(status(created), 201);
  assert.equal(created.meta.versionId, '1');
  assert.match(header(created, 'location'), new RegExp(`/Patient/${patient.id}/_history/1$`));
});
let first;
step('create', async () => {
  first = await fhir.create({ resourceType: 'Observation', body: observation(1) });
  assert.equal(status(first), 201);
  assert.equal(header(first, 'etag'), 'W/"1"');
  assert.ok(first.id && first.meta.lastUpdated);
});
step('Prefer: return', async () => {
  const headers = { Prefer: 'return=minimal' };
  const nothing = await fhir.create({ resourceType: 'Basic', body: { resourceType: 'Basic', code: { text: run } }, options: { headers } });
  assert.equal(nothing.resourceType, undefined);
  headers.Prefer = 'return=OperationOutcome';
  const outcome = await fhir.create({ resourceType: 'Basic', body: { resourceType: 'Basic', code: { text: run } }, options: { headers } });
  assert.equal(outcome.resourceType, 'OperationOutcome');
});
step('read', async () => {
  const read = await fhir.read({ resourceType: 'Observation', id: first.id });
  assert.deepEqual(read, first);
  assert.equal(header(read, 'etag'), 'W/"1"');
  assert.ok(header(read, 'last-modified'));
});
step('read again, unchanged', async () => {
  const options = { headers: { 'If-None-Match': 'W/"1"' } };
  const error = await fhir.read({ resourceType: 'Observation', id: first.id, options }).catch((e) => e);
  assert.equal(error.response?.status, 304);
});
step('update', async () => {
  const updated = await fhir.update({ resourceType: 'Observation', id: first.id, body: { ...first, status: 'amended' } });
  assert.equal(status(updated), 200);
  assert.equal(updated.meta.versionId, '2');
});
step('vread', async () => {
  const old = await fhir.vread({ resourceType: 'Observation', id: first.id, version: '1' });
  assert.equal(old.status, 'final');
  await refused(404, () => fhir.vread({ resourceType: 'Observation', id: first.id, version: '99' }));
});
step('If-Match', async () => {
  const options = { headers: { 'If-Match': 'W/"1"' } };
  await refused(412, () => fhir.update({ resourceType: 'Observation', id: first.id, body: first, options }));
});
step('JSON Patch', async () => {
  const patched = await fhir.patch({ resourceType: 'Observation', id: first.id, jsonPatch: [
    { op: 'test', path: '/status', value: 'amended' },
    { op: 'add', path: '/note', value: [{ text: 'a patched note' }] },
  ] });
  assert.equal(patched.note[0].text, 'a patched note');
  assert.equal(patched.meta.versionId, '3');
  await refused(422, () => fhir.patch({ resourceType: 'Observation', id: first.id, jsonPatch: [{ op: 'test', path: '/status', value: 'final' }] }));
});
step('FHIRPath Patch', async () => {
  const body = { resourceType: 'Parameters', parameter: [{ name: 'operation', part: [
    { name: 'type', valueCode: 'replace' }, { name: 'path', valueString: 'Observation.status' }, { name: 'value', valueCode: 'corrected' }] }] };
  const patched = await fhir.request(`Observation/${first.id}`, { method: 'PATCH', body, options: { headers: { 'Content-Type': 'application/fhir+json' } } });
  assert.equal(patched.status, 'corrected');
});
step('history of a record', async () => {
  const history = await fhir.history({ resourceType: 'Observation', id: first.id });
  assert.equal(history.type, 'history');
  assert.deepEqual(history.entry.map((e) => e.resource.meta.versionId), ['4', '3', '2', '1']);
  assert.deepEqual(history.entry.map((e) => e.request.method).slice(2), ['PUT', 'POST']);
});
step('history of a type and of the system', async () => {
  const since = first.meta.lastUpdated;
  for (const path of ['Observation/_history', '_history']) {
    const history = await fhir.request(`${path}?_since=${encodeURIComponent(since)}&_count=2`);
    assert.equal(history.entry.length, 2);
    const all = (await pages(history)).flatMap((page) => page.entry);
    assert.ok(all.filter((e) => e.fullUrl.endsWith(`Observation/${first.id}`)).length === 4, path);
  }
});
step('delete, 410, and back', async () => {
  const { id } = await fhir.create({ resourceType: 'Basic', body: { resourceType: 'Basic', code: { text: run } } });
  await fhir.delete({ resourceType: 'Basic', id });
  await refused(410, () => fhir.read({ resourceType: 'Basic', id }));
  await fhir.delete({ resourceType: 'Basic', id }); // once more changes nothing
  const history = await fhir.history({ resourceType: 'Basic', id });
  assert.equal(history.entry[0].request.method, 'DELETE');
  assert.equal(history.entry.length, 2);
  const back = await fhir.update({ resourceType: 'Basic', id, body: { resourceType: 'Basic', id, code: { text: 'back' } } });
  assert.equal(back.meta.versionId, '3');
});
step('what is refused', async () => {
  await refused(404, () => fhir.read({ resourceType: 'Patient', id: 'nobody' }));
  await refused(404, () => fhir.read({ resourceType: 'Nothing', id: '1' }));
  await refused(400, () => fhir.update({ resourceType: 'Patient', id: 'other', body: patient }));
  await refused(400, () => fhir.create({ resourceType: 'Patient', body: '{"resourceType":"Patient",' }));
  await refused(400, () => fhir.search({ resourceType: 'Patient', searchParams: { unheard: 'of' }, options: { headers: { Prefer: 'handling=strict' } } }));
});
step('without a token', async () => {
  await refused(401, () => new Client({ baseUrl: fhir.baseUrl }).read({ resourceType: 'Patient', id: patient.id }));
});

// ---- Searches

step('search by GET and by POST', async () => {
  for (let n = 2; n <= 7; n++) await fhir.create({ resourceType: 'Observation', body: observation(n) });
  const searchParams = { subject: `Patient/${patient.id}`, code: 'http://loinc.org|8867-4', 'value-quantity': 'gt64|http://unitsofmeasure.org|/min', _sort: '-date' };
  const got = await fhir.search({ resourceType: 'Observation', searchParams });
  assert.equal(got.type, 'searchset');
  assert.deepEqual(got.entry.map((e) => e.resource.valueQuantity.value), [67, 66, 65]);
  const posted = await fhir.search({ resourceType: 'Observation', searchParams, options: { postSearch: true } });
  assert.deepEqual(ids(posted), ids(got));
});
step('search parameters of every kind', async () => {
  const found = async (resourceType, searchParams) => ids(await fhir.search({ resourceType, searchParams })).length;
  const subject = `Patient/${patient.id}`;
  assert.equal(await found('Patient', { identifier: `${naming}|${run}` }), 1);
  assert.equal(await found('Patient', { 'name:contains': 'clien', _id: patient.id }), 1);
  assert.equal(await found('Patient', { 'name:exact': 'client', _id: patient.id }), 0);
  assert.equal(await found('Patient', { birthdate: 'ge1990-02-03', _id: patient.id }), 1);
  assert.equal(await found('Patient', { 'gender:not': 'female', _id: patient.id }), 0);
  assert.equal(await found('Patient', { 'email:missing': 'true', _id: patient.id }), 1);
  assert.equal(await found('Observation', { subject, date: ['ge2026-01-03', 'lt2026-01-05'] }), 2);
  assert.equal(await found('Observation', { subject, status: 'final,amended' }), 6);
  assert.equal(await found('Observation', { 'subject:Patient.name': 'Client', 'subject:Patient.identifier': run }), 7);
  assert.equal(await found('Observation', { 'patient.organization': `Organization/${system.organization}`, subject }), 7);
  assert.equal(await found('Patient', { '_has:Observation:patient:status': 'corrected', _id: patient.id }), 1);
});
step('paging through all pages', async () => {
  const searchParams = { subject: `Patient/${patient.id}`, _count: 3, _sort: 'date', _total: 'accurate' };
  const bundle = await fhir.search({ resourceType: 'Observation', searchParams });
  assert.equal(bundle.total, 7);
  const all = await pages(bundle);
  assert.deepEqual(all.map((p) => p.entry.length), [3, 3, 1]);
  assert.deepEqual(all.flatMap((p) => p.entry.map((e) => e.resource.valueQuantity.value)), [61, 62, 63, 64, 65, 66, 67]);
  assert.ok(all.every((p) => link(p, 'self')));
});
step('includes', async () => {
  const bundle = await fhir.search({ resourceType: 'Observation', searchParams: {
    subject: `Patient/${patient.id}`, date: '2026-01-02', _include: 'Observation:subject' } });
  assert.equal(ids(bundle).length, 1);
  assert.deepEqual(ids(bundle, 'include'), [`Patient/${patient.id}`]);
  const reverse = await fhir.search({ resourceType: 'Patient', searchParams: { _id: patient.id, _revinclude: 'Observation:subject' } });
  assert.equal(ids(reverse, 'include').length, 7);
});
step('summaries and elements', async () => {
  const count = await fhir.search({ resourceType: 'Observation', searchParams: { subject: `Patient/${patient.id}`, _summary: 'count' } });
  assert.equal(count.total, 7);
  assert.equal(count.entry, undefined);
  const part = await fhir.search({ resourceType: 'Patient', searchParams: { _id: patient.id, _elements: 'birthDate' } });
  const [{ resource }] = part.entry;
  assert.equal(resource.birthDate, '1990-02-03');
  assert.equal(resource.gender, undefined);
  assert.ok(resource.meta.tag.some((tag) => tag.code === 'SUBSETTED'));
});
step('references are followed', async () => {
  const resource = await fhir.resolve({ reference: observation(1).subject.reference });
  assert.equal(resource.id, patient.id);
  assert.equal((await fhir.resolve({ reference: `${fhir.baseUrl}/Patient/${patient.id}` })).id, patient.id);
});

step('compartments', async () => {
  const compartment = { resourceType: 'Patient', id: patient.id };
  const bundle = await fhir.search({ resourceType: 'Observation', compartment, searchParams: { status: 'corrected' } });
  assert.deepEqual(ids(bundle), [`Observation/${first.id}`]);
  const posted = await fhir.search({ resourceType: 'Observation', compartment, options: { postSearch: true } });
  assert.equal(ids(posted).length, 7);
  const all = await fhir.request(`Patient/${patient.id}/*?_count=100`);
  assert.ok(ids(all).includes(`Observation/${first.id}`));
});
step('search of the whole system', async () => {
  const searchParams = { _type: 'Patient,Observation', _lastUpdated: `ge${first.meta.lastUpdated}`, _count: 4 };
  for (const options of [{}, { postSearch: true }]) {
    const all = (await pages(await fhir.systemSearch({ searchParams, options }))).flatMap((p) => ids(p));
    assert.ok(all.includes(`Observation/${first.id}`));
    assert.equal(new Set(all).size, all.length);
  }
});
step('pages stand still while records change', async () => {
  const bundle = await fhir.search({ resourceType: 'Observation', searchParams: { subject: `Patient/${patient.id}`, _count: 2, _sort: 'date' } });
  const extra = await fhir.create({ resourceType: 'Observation', body: observation(3) });
  const all = (await pages(bundle)).flatMap((p) => ids(p));
  await fhir.delete({ resourceType: 'Observation', id: extra.id });
  assert.equal(all.length, 7);
  assert.equal(new Set(all).size, 7);
});

// ---- Bundles and conditions

step('transaction', async () => {
  const answer = await fhir.transaction({ body: { resourceType: 'Bundle', type: 'transaction', entry: [
    { fullUrl: 'urn:uuid:11111111-2222-4333-8444-555555555555', resource: { ...patient, id: undefined, identifier: [{ system: naming, value: `${run}-t` }] },
      request: { method: 'POST', url: 'Patient', ifNoneExist: `identifier=${naming}|${run}-t` } },
    { resource: observation(8, { subject: { reference: 'urn:uuid:11111111-2222-4333-8444-555555555555' } }), request: { method: 'POST', url: 'Observation' } },
    { request: { method: 'GET', url: `Patient/${patient.id}` } },
  ] } });
  assert.equal(answer.type, 'transaction-response');
  assert.deepEqual(answer.entry.map((e) => e.response.status.slice(0, 3)), ['201', '201', '200']);
  const [, id] = answer.entry[1].response.location.match(/Observation\/([^/]+)/);
  const { subject } = await fhir.read({ resourceType: 'Observation', id });
  assert.ok(answer.entry[0].response.location.includes(subject.reference), 'the reference follows the new id');
  assert.equal(answer.entry[2].resource.id, patient.id);
});
step('a transaction fails as a whole', async () => {
  const body = { resourceType: 'Bundle', type: 'transaction', entry: [
    { resource: { resourceType: 'Basic', id: `${run}-half`, code: { text: 'x' } }, request: { method: 'PUT', url: `Basic/${run}-half` } },
    { request: { method: 'GET', url: 'Patient/nobody' } },
  ] };
  await refused(404, () => fhir.transaction({ body }));
  await refused(404, () => fhir.read({ resourceType: 'Basic', id: `${run}-half` }));
});
step('batch', async () => {
  const answer = await fhir.batch({ body: { resourceType: 'Bundle', type: 'batch', entry: [
    { request: { method: 'GET', url: `Observation?subject=Patient/${patient.id}&_count=2` } },
    { request: { method: 'GET', url: 'Patient/nobody' } },
    { resource: { resourceType: 'Basic', code: { text: run } }, request: { method: 'POST', url: 'Basic' } },
  ] } });
  assert.equal(answer.type, 'batch-response');
  assert.deepEqual(answer.entry.map((e) => e.response.status.slice(0, 3)), ['200', '404', '201']);
  assert.equal(answer.entry[0].resource.type, 'searchset');
  assert.equal(answer.entry[1].response.outcome.resourceType, 'OperationOutcome');
});
step('conditional create', async () => {
  const options = { headers: { 'If-None-Exist': `identifier=${naming}|${run}-1` } };
  const found = await fhir.create({ resourceType: 'Observation', body: observation(1), options });
  assert.equal(status(found), 200);
  assert.equal(found.id, first.id);
});
step('conditional update', async () => {
  const searchParams = { identifier: `${naming}|${run}-9` };
  const created = await fhir.update({ resourceType: 'Observation', searchParams, body: observation(9) });
  assert.equal(status(created), 201);
  const updated = await fhir.update({ resourceType: 'Observation', searchParams, body: observation(9, { status: 'amended' }) });
  assert.equal(status(updated), 200);
  assert.equal(updated.id, created.id);
  await refused(412, () => fhir.update({ resourceType: 'Observation', searchParams: { subject: `Patient/${patient.id}` }, body: observation(9) }));
});
step('conditional delete', async () => {
  await fhir.request(`Observation?identifier=${encodeURIComponent(`${naming}|${run}-9`)}`, { method: 'DELETE' });
  assert.deepEqual(ids(await fhir.search({ resourceType: 'Observation', searchParams: { identifier: `${naming}|${run}-9` } })), []);
});

// ---- Operations

step('$validate', async () => {
  const good = await fhir.operation({ name: 'validate', resourceType: 'Patient', input: patient });
  assert.ok(!good.issue.some((i) => ['error', 'fatal'].includes(i.severity)), JSON.stringify(good));
  const bad = await fhir.operation({ name: 'validate', resourceType: 'Patient', input: { resourceType: 'Parameters', parameter: [
    { name: 'resource', resource: { resourceType: 'Patient', gender: 'unheard' } }] } });
  assert.ok(bad.issue.some((i) => i.severity === 'error' && i.expression?.includes('Patient.gender')));
});
step('$meta', async () => {
  const { parameter: [{ valueMeta }] } = await fhir.operation({ name: 'meta', resourceType: 'Observation', id: first.id, method: 'GET' });
  assert.equal(valueMeta.versionId, '4');
});
step('$everything', async () => {
  const bundle = await fhir.operation({ name: 'everything', resourceType: 'Patient', id: patient.id, method: 'GET', input: { _count: 5 } });
  const all = (await pages(bundle)).flatMap((p) => p.entry.map((e) => `${e.resource.resourceType}/${e.resource.id}`));
  assert.ok(all.includes(`Patient/${patient.id}`));
  assert.equal(all.filter((r) => r.startsWith('Observation/')).length, 7);
  assert.equal(new Set(all).size, all.length, 'nothing comes twice');
});

step('$meta-add and $meta-delete', async () => {
  const input = { resourceType: 'Parameters', parameter: [{ name: 'meta', valueMeta: { tag: [{ system: naming, code: 'seen' }] } }] };
  const tags = ({ parameter: [{ valueMeta }] }) => (valueMeta.tag ?? []).map((t) => t.code);
  assert.deepEqual(tags(await fhir.operation({ name: 'meta-add', resourceType: 'Observation', id: first.id, input })), ['seen']);
  assert.deepEqual(ids(await fhir.search({ resourceType: 'Observation', searchParams: { _tag: `${naming}|seen`, subject: `Patient/${patient.id}` } })), [`Observation/${first.id}`]);
  assert.deepEqual(tags(await fhir.operation({ name: 'meta-delete', resourceType: 'Observation', id: first.id, input })), []);
});
step('$expand', async () => {
  const url = 'http://hl7.org/fhir/ValueSet/administrative-gender';
  const { expansion } = await fhir.operation({ name: 'expand', resourceType: 'ValueSet', method: 'GET', input: { url } });
  assert.deepEqual(expansion.contains.map((c) => c.code).sort(), ['female', 'male', 'other', 'unknown']);
  const filtered = await fhir.operation({ name: 'expand', resourceType: 'ValueSet', method: 'GET', input: { url: `${root}/ValueSet/state-my-core`, filter: 'joh' } });
  assert.deepEqual(filtered.expansion.contains.map((c) => c.code), ['01']);
});
step('$validate-code', async () => {
  const check = async (code) => value(await fhir.operation({ name: 'validate-code', resourceType: 'ValueSet', method: 'GET', input: {
    url: `${root}/ValueSet/service-type-my-core`, system: `${root}/CodeSystem/service-type-my-core`, code } }), 'result');
  assert.equal(await check('VCI'), true);
  assert.equal(await check('VCX'), false);
});
step('$lookup and $subsumes', async () => {
  const input = { system: `${root}/CodeSystem/encounter-class-my-core`, code: 'VR' };
  assert.equal(value(await fhir.operation({ name: 'lookup', resourceType: 'CodeSystem', method: 'GET', input }), 'display'), 'Virtual');
  const subsumed = await fhir.operation({ name: 'subsumes', resourceType: 'CodeSystem', method: 'GET', input: { system: input.system, codeA: 'VR', codeB: 'VR' } });
  assert.equal(value(subsumed, 'outcome'), 'equivalent');
});
step('$book', async () => {
  const services = demo.healthcareServices.filter((s) => s.organization === system.organization && s.serviceType === 'VCI');
  const service = await fhir.read({ resourceType: 'HealthcareService', id: services[0].id });
  const start = new Date(Date.now() + 3_600_000).toISOString();
  const end = new Date(Date.now() + 5_400_000).toISOString();
  await fhir.transaction({ body: hours({ id: run, service, start, end, quota: 1 }) });
  const input = { resourceType: 'Parameters', parameter: [{ name: 'patient', valueReference: { reference: `Patient/${demo.patients[0].id}` } }] };
  const booked = await fhir.operation({ name: 'book', resourceType: 'Slot', id: `${run}-slot`, input });
  assert.equal(booked.resourceType, 'Appointment');
  assert.equal(booked.status, 'booked');
  assert.equal(status(booked), 201);
  const other = { ...input, parameter: [{ name: 'patient', valueReference: { reference: `Patient/${demo.patients[1].id}` } }] };
  await refused(409, () => fhir.operation({ name: 'book', resourceType: 'Slot', id: `${run}-slot`, input: other }));
});
step('Subscription', async () => {
  const asked = await fhir.create({ resourceType: 'Subscription', body: {
    resourceType: 'Subscription', status: 'requested', reason: run, criteria: `Observation?subject=Patient/${patient.id}`,
    channel: { type: 'websocket', payload: 'application/fhir+json' } } });
  assert.ok(['requested', 'active'].includes(asked.status), asked.status);
  const input = { resourceType: 'Parameters', parameter: [] };
  const token = await fhir.operation({ name: 'get-ws-binding-token', resourceType: 'Subscription', id: asked.id, input });
  assert.ok(value(token, 'token'));
  const statuses = await fhir.operation({ name: 'status', resourceType: 'Subscription', id: asked.id, method: 'GET' });
  assert.equal(statuses.entry[0].resource.resourceType, 'Parameters');
  await fhir.delete({ resourceType: 'Subscription', id: asked.id });
});
step('composites and includes that go on', async () => {
  const searchParams = { subject: `Patient/${patient.id}`, 'code-value-quantity': '8867-4$le63', _include: 'Observation:subject', '_include:iterate': 'Patient:organization' };
  const bundle = await fhir.search({ resourceType: 'Observation', searchParams });
  assert.equal(ids(bundle).length, 3);
  assert.deepEqual(ids(bundle, 'include').sort(), [`Organization/${system.organization}`, `Patient/${patient.id}`]);
});
step('definitions', async () => {
  for (const type of ['SearchParameter', 'StructureDefinition', 'OperationDefinition', 'CompartmentDefinition', 'CodeSystem', 'ValueSet']) {
    const bundle = await fhir.search({ resourceType: type, searchParams: { _count: 1 } });
    assert.equal(bundle.entry.length, 1, type);
  }
});

let failed = 0;
for (const { name, act } of steps) {
  try {
    await act();
    console.log(`ok ${name}`);
  } catch (error) {
    failed++;
    console.log(`FAILED ${name}: ${error.message}${error.response ? ` ${JSON.stringify(error.response.data)}` : ''}`);
  }
}
console.log(`${steps.length - failed} of ${steps.length} steps are as a client expects them`);
process.exitCode = failed ? 1 : 0;
