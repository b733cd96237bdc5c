// An individual consultation (VCI), step by step as in docs/integration.md.

import { appointment, connect, consultationOver, expect, finish, hours, identityNumber, listen, tokenOf } from './exchange.mjs';

const exchange = await connect();
const { demo, system, fhir, api } = exchange;
const topic = await listen(exchange);

const mine = (list) => list.filter((x) => x.organization === system.organization);
const service = await fhir.read({
  resourceType: 'HealthcareService', id: mine(demo.healthcareServices).find((s) => s.serviceType === 'VCI').id,
});
const patient = await fhir.read({ resourceType: 'Patient', id: demo.patients[1].id });
const practitioner = await fhir.read({ resourceType: 'Practitioner', id: mine(demo.practitioners)[0].id });
const id = `vci-js-${process.pid}-${Date.now()}`;
const start = new Date().toISOString();
const end = new Date(Date.now() + 45 * 60_000).toISOString();

// 1. Schedule and Slot (optional)
await fhir.transaction({ body: hours({ id, service, start, end, quota: 1 }) });

// 2. Appointment
const booked = await fhir.update({
  resourceType: 'Appointment', id,
  body: appointment({ id, service, patient, practitioner, start, end, slot: `${id}-slot` }),
});
expect('Appointment', booked.status, 'booked');

// 3. The patient checks in
console.log(`Waiting until ${patient.name[0].text} has checked in …`);
const encounter = await topic.event(id, 'arrived');
const session = `/jitsi/v1/sessions/${tokenOf(encounter)}`;

// 4. The practitioner enters, the session starts
const who = new URLSearchParams({ role: 'practitioner', name: practitioner.name[0].text, id: practitioner.id });
const join = await api('GET', `${session}/join?${who}`);
console.log(`Open for the practitioner, before ${join.expiresAt}:\n${join.joinUrl}`);
expect('Session', (await api('PATCH', session, { status: 'active' })).status, 'active');

// 5. Tell the patient, with the e-mail address and password
const { token } = await api('POST', '/api/v2/user/session', { email: system.email, password: system.password });
const { results } = await api('POST', '/api/v2/notification-script', {
  title: 'Virtual consultation is starting',
  body: 'You can now join the meeting room.',
  patientIds: [identityNumber(patient)],
}, { token, headers: { 'Idempotency-Key': `${id}-start` } });
for (const r of results) expect('Notification', r.status, 'delivered');

// 6. The call
console.log('Waiting until the patient has joined …');
await topic.event(id, 'in-progress');
await consultationOver();

// 7. Finish the Encounter
expect('Encounter', (await finish(fhir, encounter.id)).status, 'finished');
expect('Appointment', (await fhir.read({ resourceType: 'Appointment', id })).status, 'fulfilled');

// 8. End the session
expect('Session', (await api('PATCH', session, { status: 'ended' })).status, 'ended');
await topic.stop();
