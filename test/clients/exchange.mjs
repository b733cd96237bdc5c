// What the scripts of this directory share: the addresses and credentials of
// the demo, and the three interfaces of the exchange that are not FHIR.
//
// docs/integration.md explains every call.

import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline/promises';
import { Client } from 'fhir-kit-client';
import { Kafka, logLevel } from 'kafkajs';

export const root = 'http://fhir.hie.moh.gov.my';
const tokenSystem = `${root}/sid/vc-token`;
const identitySystem = `${root}/sid/my-kad-no`;

/** Reads the demo's credentials and gets an access token. */
export async function connect() {
  const demo = JSON.parse(await readFile(`${process.env.JUMPA_DATA ?? 'jumpa-data'}/demo.json`, 'utf8'));
  const system = demo.clients[0];
  const { access_token: token } = await answer(await fetch(`${demo.server}/auth/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'client_credentials', client_id: system.clientId, client_secret: system.clientSecret,
    }),
  }));
  return {
    demo,
    system,
    fhir: new Client({ baseUrl: `${demo.server}/baseR4`, bearerToken: token }),
    api: (method, path, body, options = {}) => json(`${demo.server}${path}`, method, body, { token, ...options }),
  };
}

async function json(url, method, body, { token, headers = {} }) {
  return answer(await fetch(url, {
    method,
    headers: {
      ...(token && { Authorization: `Bearer ${token}` }),
      ...(body && { 'Content-Type': 'application/json' }),
      ...headers,
    },
    body: body && JSON.stringify(body),
  }));
}

/** Gives the JSON of an answer, or fails with what the exchange has against the request. */
async function answer(response) {
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.status}: ${text}`);
  return JSON.parse(text);
}

/**
 * Listens to the Encounters of an organisation. Offsets are committed only
 * after a message was dealt with: here, when it was remembered.
 */
export async function listen({ demo, system }) {
  const kafka = new Kafka({ clientId: system.clientId, brokers: demo.kafka.split(','), logLevel: logLevel.ERROR });
  const consumer = kafka.consumer({ groupId: `${system.clientId}-${process.pid}-${Date.now()}` });
  const seen = new Map(); // by ce_id: what comes twice counts once
  let arrived = () => {};
  await consumer.connect();
  await consumer.subscribe({ topics: [`hie.vc.encounter.${system.organization}`], fromBeginning: true });
  await consumer.run({
    eachMessage: async ({ message }) => {
      seen.set(message.headers.ce_id.toString(), JSON.parse(message.value.toString()));
      arrived();
    },
  });
  return {
    /** Waits for the Encounter of an appointment in a status. */
    async event(appointment, status) {
      for (;;) {
        for (const bundle of seen.values()) {
          for (const { resource } of bundle.entry) {
            if (resource?.resourceType === 'Encounter' && resource.status === status &&
              resource.appointment?.some((a) => a.reference === `Appointment/${appointment}`)) return resource;
          }
        }
        await new Promise((resolve) => { arrived = resolve; });
      }
    },
    stop: () => consumer.disconnect(),
  };
}

/** The session token of a record. */
export const tokenOf = (resource) => resource.identifier.find((i) => i.system === tokenSystem).value;

/** The identifiers of a record that belongs to a session. */
export const identifiers = (token) => (token ? [{ system: tokenSystem, value: token }] : undefined);

/** The number by which the notification API knows a patient. */
export const identityNumber = (patient) => patient.identifier.find((i) => i.system === identitySystem).value;

const profile = (type) => ({ profile: [`${root}/StructureDefinition/${type}-my-core`] });
const coded = (system, code, display) => ({ coding: [{ system: `${root}/CodeSystem/${system}-my-core`, code, display }] });
const actor = (resource, display) => ({ reference: `${resource.resourceType}/${resource.id}`, type: resource.resourceType, display });

/** Schedule and Slot of a service, in one transaction. */
export function hours({ id, service, start, end, quota, token }) {
  const common = {
    identifier: identifiers(token), serviceCategory: service.category, serviceType: service.type, specialty: service.specialty,
  };
  const records = [{
    resourceType: 'Schedule', id: `${id}-schedule`, meta: profile('Schedule'), ...common, active: true,
    extension: [{ url: `${root}/StructureDefinition/schedule-type-my-core`, valueCodeableConcept: coded('schedule-type', 'internal') }],
    actor: [actor(service, service.name)],
    planningHorizon: { start, end },
  }, {
    resourceType: 'Slot', id: `${id}-slot`, meta: profile('Slot'), ...common,
    extension: [{
      url: `${root}/StructureDefinition/slot-quota-my-core`,
      extension: [{ url: 'available', valueInteger: quota }, { url: 'quota', valueInteger: quota }],
    }],
    appointmentType: coded('schedule-type', 'internal'),
    schedule: { reference: `Schedule/${id}-schedule` },
    status: 'free', start, end,
  }];
  return {
    resourceType: 'Bundle', type: 'transaction',
    entry: records.map((resource) => ({ resource, request: { method: 'PUT', url: `${resource.resourceType}/${resource.id}` } })),
  };
}

/** A booked Appointment. */
export function appointment({ id, service, patient, practitioner, start, end, slot, token }) {
  const people = [actor(service, service.name), actor(patient, patient.name[0].text)];
  if (practitioner) people.push(actor(practitioner, practitioner.name[0].text));
  return {
    resourceType: 'Appointment', id, meta: profile('Appointment'), identifier: identifiers(token),
    status: 'booked',
    serviceCategory: service.category, serviceType: service.type, specialty: service.specialty,
    appointmentType: coded('schedule-type', 'internal'),
    start, end,
    slot: [{ reference: `Slot/${slot}` }],
    participant: people.map((a) => ({ actor: a, status: 'accepted' })),
  };
}

/** Finishes an Encounter, and begins again when somebody else has changed it meanwhile. */
export async function finish(fhir, id) {
  for (;;) {
    const encounter = await fhir.read({ resourceType: 'Encounter', id });
    encounter.status = 'finished';
    encounter.period.end = new Date().toISOString();
    encounter.extension = [...(encounter.extension ?? []), {
      url: `${root}/StructureDefinition/encounter-outcome-my-core`,
      extension: [{ url: 'encounterOutcome', valueCodeableConcept: coded('encounter-outcome', '1', 'Successful') }],
    }];
    try {
      return await fhir.update({
        resourceType: 'Encounter', id, body: encounter,
        options: { headers: { 'If-Match': `W/"${encounter.meta.versionId}"` } },
      });
    } catch (error) {
      if (error.response?.status !== 412) throw error;
    }
  }
}

/** Waits for the Enter key. */
export async function consultationOver() {
  const terminal = createInterface({ input: process.stdin });
  console.log('Press Enter when the consultation is over.');
  await new Promise((resolve) => { terminal.once('line', resolve); });
  terminal.close();
}

/** Stops with an error unless what the exchange says is as expected. */
export function expect(what, is, wanted) {
  console.log(`${what}: ${is}`);
  if (is !== wanted) throw new Error(`${what} is ${is} and not ${wanted}`);
}
