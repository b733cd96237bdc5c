// An education session for a group (VCE), step by step as in docs/integration.md.

import { appointment, connect, consultationOver, expect, finish, hours, identityNumber, listen, tokenOf } from './exchange.mjs';

const exchange = await connect();
const { demo, system, fhir, api } = exchange;
const topic = await listen(exchange);

// 1. Session
const { token } = await api('POST', '/jitsi/v1/sessions', { serviceType: 'VCE', title: 'Diabetes class' });
const session = `/jitsi/v1/sessions/${token}`;

// 2. Schedule and Slot (optional)
const mine = (list) => list.filter((x) => x.organization === system.organization);
const service = await fhir.read({
  resourceType: 'HealthcareService', id: mine(demo.healthcareServices).find((s) => s.serviceType === 'VCE').id,
});
const practitioner = await fhir.read({ resourceType: 'Practitioner', id: mine(demo.practitioners)[0].id });
const id = `vce-js-${process.pid}-${Date.now()}`;
const start = new Date().toISOString();
const end = new Date(Date.now() + 60 * 60_000).toISOString();
const chosen = demo.patients.filter((p) => p.rekodSaya).slice(-2);
await fhir.transaction({ body: hours({ id, service, start, end, quota: chosen.length, token }) });

// 3. Appointments
const group = [];
for (const p of chosen) {
  const patient = await fhir.read({ resourceType: 'Patient', id: p.id });
  const seat = { patient, appointment: `${id}-${p.id}` };
  const booked = await fhir.update({
    resourceType: 'Appointment', id: seat.appointment,
    body: appointment({ id: seat.appointment, service, patient, practitioner, start, end, slot: `${id}-slot`, token }),
  });
  expect('Appointment', booked.status, 'booked');
  group.push(seat);
}
expect('Slot', (await fhir.read({ resourceType: 'Slot', id: `${id}-slot` })).status, 'busy');

// 4. The patients check in
for (const seat of group) {
  console.log(`Waiting until ${seat.patient.name[0].text} has checked in …`);
  seat.encounter = await topic.event(seat.appointment, 'arrived');
  if (tokenOf(seat.encounter) !== token) throw new Error('the Encounter has another session');
}

// 5. The practitioner enters, the session starts
const who = new URLSearchParams({ role: 'practitioner', name: practitioner.name[0].text, id: practitioner.id });
const join = await api('GET', `${session}/join?${who}`);
console.log(`Open for the practitioner, before ${join.expiresAt}:\n${join.joinUrl}`);
expect('Session', (await api('PATCH', session, { status: 'active' })).status, 'active');

// 6. Tell the patients, with the access token
const { results } = await api('POST', '/api/v2/notification-script', {
  title: 'Virtual consultation is starting',
  body: 'You can now join the meeting room.',
  patientIds: group.map((seat) => identityNumber(seat.patient)),
}, { headers: { 'Idempotency-Key': `${id}-start` } });
for (const r of results) expect('Notification', r.status, 'delivered');

// 7. The call
for (const seat of group) {
  console.log(`Waiting until ${seat.patient.name[0].text} has joined …`);
  await topic.event(seat.appointment, 'in-progress');
}
expect('People in the room', (await api('GET', session)).participants.length, group.length + 1);
await consultationOver();

// 8. Finish every Encounter, end the session
for (const seat of group) {
  expect('Encounter', (await finish(fhir, seat.encounter.id)).status, 'finished');
  expect('Appointment', (await fhir.read({ resourceType: 'Appointment', id: seat.appointment })).status, 'fulfilled');
}
expect('Session', (await api('PATCH', session, { status: 'ended' })).status, 'ended');
await topic.stop();
