// Evaluates FHIRPath expressions with HL7's engine for JavaScript. Each line of
// standard input has a resource and expressions, and each line of standard
// output what they give: a list of values as text for each expression, or null
// where it is an error.
//
//   {"resource": {…}, "expressions": ["Patient.name.given"]}
//   [["Peter", "James"]]

import { createInterface } from 'node:readline';
import fhirpath from 'fhirpath';
import r4 from 'fhirpath/fhir-context/r4/index.js';

/** Puts the members of objects in order, so that equal values are equal texts. */
function text(value) {
  if (value === null || typeof value !== 'object') return String(value);
  if (typeof value.toJSON === 'function' || value.constructor?.name.startsWith('FP_')) return String(value);
  return JSON.stringify(value, (_, v) => (v && typeof v === 'object' && !Array.isArray(v)
    ? Object.fromEntries(Object.entries(v).sort(([a], [b]) => (a < b ? -1 : 1))) : v));
}

const compiled = new Map();
const options = { traceFn: () => {}, resolveInternalTypes: true };

for await (const line of createInterface({ input: process.stdin })) {
  const { resource, expressions } = JSON.parse(line);
  const values = expressions.map((expression) => {
    try {
      if (!compiled.has(expression)) compiled.set(expression, fhirpath.compile(expression, r4, options));
      return compiled.get(expression)(resource, { resource, rootResource: resource }).map(text);
    } catch (error) {
      return null;
    }
  });
  console.log(JSON.stringify(values));
}
