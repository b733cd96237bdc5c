// The whole FHIR interface, by the hand of HAPI FHIR's client: every
// interaction, search and operation with what a client expects of each, first
// in JSON and then in XML. Its strict parser must accept all that is answered.
// All steps are tried; the program fails in the end when one did.

import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.parser.StrictErrorHandler;
import ca.uhn.fhir.rest.api.EncodingEnum;
import ca.uhn.fhir.rest.api.MethodOutcome;
import ca.uhn.fhir.rest.api.PreferReturnEnum;
import ca.uhn.fhir.rest.api.SearchStyleEnum;
import ca.uhn.fhir.rest.api.SearchTotalModeEnum;
import ca.uhn.fhir.rest.api.SortSpec;
import ca.uhn.fhir.rest.api.SummaryEnum;
import ca.uhn.fhir.rest.client.api.IGenericClient;
import ca.uhn.fhir.rest.client.api.ServerValidationModeEnum;
import ca.uhn.fhir.rest.client.interceptor.BearerTokenAuthInterceptor;
import ca.uhn.fhir.rest.param.DateRangeParam;
import ca.uhn.fhir.rest.server.exceptions.AuthenticationException;
import ca.uhn.fhir.rest.server.exceptions.BaseServerResponseException;
import ca.uhn.fhir.rest.server.exceptions.NotModifiedException;
import ca.uhn.fhir.rest.server.exceptions.PreconditionFailedException;
import ca.uhn.fhir.rest.server.exceptions.ResourceGoneException;
import ca.uhn.fhir.rest.server.exceptions.ResourceNotFoundException;
import ca.uhn.fhir.rest.server.exceptions.ResourceVersionConflictException;
import ca.uhn.fhir.rest.server.exceptions.UnprocessableEntityException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.math.BigDecimal;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Date;
import java.util.HashSet;
import java.util.List;
import java.util.Objects;
import org.hl7.fhir.instance.model.api.IBaseResource;
import org.hl7.fhir.instance.model.api.IIdType;
import org.hl7.fhir.r4.model.*;

public class Api {
  static final String NAMING = "http://hospital.example/sid/test";
  static final String GUIDE = "http://fhir.hie.moh.gov.my/";

  final IGenericClient client;
  final IGenericClient stranger; // has no token
  final String run;
  final String organization;
  final String service; // of the organisation, for individual consultations
  int tried;
  int failed;

  Patient patient;
  IIdType first; // an Observation

  interface Act {
    void act() throws Exception;
  }

  public static void main(String[] args) throws Exception {
    String data = Objects.requireNonNullElse(System.getenv("JUMPA_DATA"), "jumpa-data");
    JsonNode demo = new ObjectMapper().readTree(Path.of(data, "demo.json").toFile());
    int tried = 0;
    int failed = 0;
    for (EncodingEnum format : List.of(EncodingEnum.JSON, EncodingEnum.XML)) {
      Api api = new Api(demo, format);
      api.everything();
      tried += api.tried;
      failed += api.failed;
    }
    System.out.printf("%d of %d steps are as a client expects them%n", tried - failed, tried);
    System.exit(failed == 0 ? 0 : 1);
  }

  Api(JsonNode demo, EncodingEnum format) throws Exception {
    String server = demo.get("server").asText();
    JsonNode system = demo.get("clients").get(0);
    organization = system.get("organization").asText();
    String offered = null;
    for (JsonNode one : demo.get("healthcareServices")) {
      if (one.get("organization").asText().equals(organization) && one.get("serviceType").asText().equals("VCI")) {
        offered = one.get("id").asText();
      }
    }
    service = offered;
    run = "api-java-" + format.name().toLowerCase() + "-" + System.currentTimeMillis();
    FhirContext fhir = FhirContext.forR4();
    fhir.setParserErrorHandler(new StrictErrorHandler());
    fhir.getRestfulClientFactory().setServerValidationMode(ServerValidationModeEnum.ONCE);
    client = fhir.newRestfulGenericClient(server + "/baseR4");
    client.setEncoding(format);
    client.registerInterceptor(new BearerTokenAuthInterceptor(token(server, system)));
    stranger = fhir.newRestfulGenericClient(server + "/baseR4");
    stranger.setEncoding(format);
  }

  static String token(String server, JsonNode system) throws Exception {
    String form = "grant_type=client_credentials&client_id=" + system.get("clientId").asText()
        + "&client_secret=" + URLEncoder.encode(system.get("clientSecret").asText(), StandardCharsets.UTF_8);
    HttpRequest request = HttpRequest.newBuilder(URI.create(server + "/auth/token"))
        .header("Content-Type", "application/x-www-form-urlencoded")
        .POST(HttpRequest.BodyPublishers.ofString(form)).build();
    HttpResponse<String> answer = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
    return new ObjectMapper().readTree(answer.body()).get("access_token").asText();
  }

  // ---- What steps are made of

  void step(String name, Act act) {
    tried++;
    try {
      act.act();
      System.out.println("ok " + name);
    } catch (BaseServerResponseException e) {
      failed++;
      System.out.println("FAILED " + name + ": " + e + " " + e.getResponseBody());
    } catch (Exception | Error e) {
      failed++;
      System.out.println("FAILED " + name + ": " + e + " at " + e.getStackTrace()[0]);
    }
  }

  static void same(Object wanted, Object got) {
    if (!Objects.equals(wanted, got)) {
      throw new AssertionError("wanted " + wanted + ", got " + got);
    }
  }

  static void holds(boolean condition, String what) {
    same(what + ": true", what + ": " + condition);
  }

  /** What the server says when it refuses, as an OperationOutcome. */
  static OperationOutcome refused(Class<? extends BaseServerResponseException> how, Act act) throws Exception {
    try {
      act.act();
    } catch (BaseServerResponseException e) {
      same(how, e.getClass());
      OperationOutcome outcome = (OperationOutcome) e.getOperationOutcome();
      holds(outcome != null && outcome.getIssueFirstRep().hasDiagnostics(), "the outcome says why");
      return outcome;
    }
    throw new AssertionError("it was accepted");
  }

  static List<String> ids(Bundle bundle, Bundle.SearchEntryMode mode) {
    return bundle.getEntry().stream()
        .filter(e -> e.getSearch().getMode() == mode)
        .map(e -> e.getResource().getIdElement().toUnqualifiedVersionless().getValue()).toList();
  }

  static List<String> ids(Bundle bundle) {
    return ids(bundle, Bundle.SearchEntryMode.MATCH);
  }

  /** All pages of a result, forward. */
  List<Bundle> pages(Bundle bundle) {
    List<Bundle> all = new ArrayList<>(List.of(bundle));
    while (bundle.getLink(Bundle.LINK_NEXT) != null) {
      bundle = client.loadPage().next(bundle).execute();
      all.add(bundle);
      holds(all.size() < 100, "the pages have an end");
    }
    return all;
  }

  List<String> allIds(Bundle bundle) {
    return pages(bundle).stream().flatMap(p -> ids(p).stream()).toList();
  }

  Observation observation(int n) {
    Observation o = new Observation();
    o.setStatus(Observation.ObservationStatus.FINAL);
    o.addIdentifier().setSystem(NAMING).setValue(run + "-" + n);
    o.getCode().addCoding().setSystem("http://loinc.org").setCode("8867-4").setDisplay("Heart rate");
    o.setSubject(new Reference("Patient/" + run + "-p"));
    o.setEffective(new DateTimeType("2026-01-0" + n + "T08:00:00+08:00"));
    o.setValue(new Quantity().setValue(new BigDecimal(60 + n)).setUnit("beats/minute").setSystem("http://unitsofmeasure.org").setCode("/min"));
    return o;
  }

  static Basic basic(String text) {
    Basic b = new Basic();
    b.getCode().setText(text);
    return b;
  }

  Bundle search(Class<? extends IBaseResource> type, String query) {
    return client.search().byUrl(type.getSimpleName() + "?" + query).returnBundle(Bundle.class).execute();
  }

  void everything() {
    server();
    record();
    searches();
    bundles();
    operations();
  }

  // ---- What the server says of itself

  void server() {
    step("capabilities", () -> {
      CapabilityStatement statement = client.capabilities().ofType(CapabilityStatement.class).execute();
      same("4.0.1", statement.getFhirVersion().toCode());
      holds(statement.getRestFirstRep().getResource().size() > 100, "many types");
    });
  }

  // ---- One record

  void record() {
    step("update creates", () -> {
      patient = new Patient();
      patient.setId(run + "-p");
      patient.setActive(true).setGender(Enumerations.AdministrativeGender.FEMALE).setBirthDateElement(new DateType("1990-02-03"));
      patient.addName().setFamily("Client").addGiven("Java");
      patient.addIdentifier().setSystem(NAMING).setValue(run);
      patient.setManagingOrganization(new Reference("Organization/" + organization));
      MethodOutcome outcome = client.update().resource(patient).execute();
      same(true, outcome.getCreated());
      same("Patient/" + run + "-p/_history/1", outcome.getId().toUnqualified().getValue());
    });
    step("create", () -> {
      MethodOutcome outcome = client.create().resource(observation(1)).execute();
      same(true, outcome.getCreated());
      first = outcome.getId().toUnqualifiedVersionless();
      same("1", outcome.getId().getVersionIdPart());
    });
    step("Prefer: return", () -> {
      holds(client.create().resource(basic(run)).prefer(PreferReturnEnum.MINIMAL).execute().getResource() == null, "nothing comes back");
      holds(client.create().resource(basic(run)).prefer(PreferReturnEnum.REPRESENTATION).execute().getResource() instanceof Basic, "the record comes back");
      holds(client.create().resource(basic(run)).prefer(PreferReturnEnum.OPERATION_OUTCOME).execute().getOperationOutcome() != null, "an outcome comes back");
    });
    step("read", () -> {
      Observation o = client.read().resource(Observation.class).withId(first.getIdPart()).execute();
      same("1", o.getMeta().getVersionId());
      same("61", o.getValueQuantity().getValue().toPlainString());
      same("2026-01-01T08:00:00+08:00", o.getEffectiveDateTimeType().getValueAsString());
    });
    step("read again, unchanged", () -> {
      Observation kept = new Observation();
      same(kept, client.read().resource(Observation.class).withId(first.getIdPart()).ifVersionMatches("1").returnResource(kept).execute());
      try {
        client.read().resource(Observation.class).withId(first.getIdPart()).ifVersionMatches("1").throwNotModifiedException().execute();
        throw new AssertionError("it was sent again");
      } catch (NotModifiedException expected) {
        // the version is the one at hand
      }
    });
    step("update", () -> {
      Observation o = client.read().resource(Observation.class).withId(first.getIdPart()).execute();
      o.setStatus(Observation.ObservationStatus.AMENDED);
      same("2", client.update().resource(o).execute().getId().getVersionIdPart());
    });
    step("vread", () -> {
      Observation old = client.read().resource(Observation.class).withIdAndVersion(first.getIdPart(), "1").execute();
      same(Observation.ObservationStatus.FINAL, old.getStatus());
      refused(ResourceNotFoundException.class, () -> client.read().resource(Observation.class).withIdAndVersion(first.getIdPart(), "99").execute());
    });
    step("If-Match", () -> {
      Observation o = observation(1);
      o.setId(first);
      refused(PreconditionFailedException.class, () -> client.update().resource(o).withAdditionalHeader("If-Match", "W/\"1\"").execute());
    });
    step("JSON Patch", () -> {
      String patch = "[{\"op\":\"test\",\"path\":\"/status\",\"value\":\"amended\"},{\"op\":\"add\",\"path\":\"/note\",\"value\":[{\"text\":\"a patched note\"}]}]";
      client.patch().withBody(patch).withId(first).execute();
      same("a patched note", client.read().resource(Observation.class).withId(first.getIdPart()).execute().getNoteFirstRep().getText());
      refused(UnprocessableEntityException.class, () -> client.patch().withBody("[{\"op\":\"test\",\"path\":\"/status\",\"value\":\"final\"}]").withId(first).execute());
    });
    step("FHIRPath Patch", () -> {
      Parameters patch = new Parameters();
      Parameters.ParametersParameterComponent operation = patch.addParameter().setName("operation");
      operation.addPart().setName("type").setValue(new CodeType("replace"));
      operation.addPart().setName("path").setValue(new StringType("Observation.status"));
      operation.addPart().setName("value").setValue(new CodeType("corrected"));
      client.patch().withFhirPatch(patch).withId(first).execute();
      same(Observation.ObservationStatus.CORRECTED, client.read().resource(Observation.class).withId(first.getIdPart()).execute().getStatus());
    });
    step("history of a record", () -> {
      Bundle history = client.history().onInstance(first).returnBundle(Bundle.class).execute();
      same(List.of("4", "3", "2", "1"), history.getEntry().stream().map(e -> e.getResource().getMeta().getVersionId()).toList());
      same(Bundle.HTTPVerb.POST, history.getEntry().get(3).getRequest().getMethod());
      same("201", history.getEntry().get(3).getResponse().getStatus().substring(0, 3));
    });
    step("history of a type and of the system", () -> {
      Observation o = client.read().resource(Observation.class).withIdAndVersion(first.getIdPart(), "1").execute();
      for (Bundle start : List.of(
          client.history().onType(Observation.class).returnBundle(Bundle.class).since(o.getMeta().getLastUpdated()).count(2).execute(),
          client.history().onServer().returnBundle(Bundle.class).since(o.getMeta().getLastUpdated()).count(2).execute())) {
        same(2, start.getEntry().size());
        List<Bundle.BundleEntryComponent> all = pages(start).stream().flatMap(p -> p.getEntry().stream()).toList();
        same(4L, all.stream().filter(e -> e.getFullUrl().endsWith(first.getValue())).count());
      }
    });
    step("delete, 410, and back", () -> {
      IIdType id = client.create().resource(basic(run)).execute().getId().toUnqualifiedVersionless();
      client.delete().resourceById(id).execute();
      refused(ResourceGoneException.class, () -> client.read().resource(Basic.class).withId(id.getIdPart()).execute());
      client.delete().resourceById(id).execute(); // once more changes nothing
      Bundle history = client.history().onInstance(id).returnBundle(Bundle.class).execute();
      same(Bundle.HTTPVerb.DELETE, history.getEntryFirstRep().getRequest().getMethod());
      same(2, history.getEntry().size());
      Basic back = basic("back");
      back.setId(id);
      same("3", client.update().resource(back).execute().getId().getVersionIdPart());
    });
    step("what is refused", () -> {
      refused(ResourceNotFoundException.class, () -> client.read().resource(Patient.class).withId("nobody").execute());
      refused(AuthenticationException.class, () -> stranger.read().resource(Patient.class).withId(run + "-p").execute());
    });
  }

  // ---- Searches

  void searches() {
    step("search by GET and by POST", () -> {
      for (int n = 2; n <= 7; n++) {
        client.create().resource(observation(n)).execute();
      }
      for (SearchStyleEnum style : List.of(SearchStyleEnum.GET, SearchStyleEnum.POST)) {
        Bundle found = client.search().forResource(Observation.class)
            .where(Observation.SUBJECT.hasId("Patient/" + run + "-p"))
            .and(Observation.CODE.exactly().systemAndCode("http://loinc.org", "8867-4"))
            .and(Observation.VALUE_QUANTITY.greaterThan().number(64).andUnits("http://unitsofmeasure.org", "/min"))
            .sort(new SortSpec("date", ca.uhn.fhir.rest.api.SortOrderEnum.DESC))
            .usingStyle(style).returnBundle(Bundle.class).execute();
        same(List.of("67", "66", "65"), found.getEntry().stream()
            .map(e -> ((Observation) e.getResource()).getValueQuantity().getValue().toPlainString()).toList());
      }
    });
    step("search parameters of every kind", () -> {
      String subject = "subject=Patient/" + run + "-p";
      same(1, ids(search(Patient.class, "identifier=" + NAMING + "%7C" + run)).size());
      same(1, ids(search(Patient.class, "name:contains=clien&_id=" + run + "-p")).size());
      same(1, ids(search(Patient.class, "birthdate=ge1990-02-03&_id=" + run + "-p")).size());
      same(0, ids(search(Patient.class, "gender:not=female&_id=" + run + "-p")).size());
      same(1, ids(search(Patient.class, "email:missing=true&_id=" + run + "-p")).size());
      same(2, ids(search(Observation.class, subject + "&date=ge2026-01-03&date=lt2026-01-05")).size());
      same(6, ids(search(Observation.class, subject + "&status=final,amended")).size());
      same(1, ids(search(Patient.class, "_has:Observation:patient:status=corrected&_id=" + run + "-p")).size());
      same(7, ids(client.search().forResource(Observation.class)
          .where(Observation.PATIENT.hasChainedProperty(Patient.IDENTIFIER.exactly().identifier(run)))
          .returnBundle(Bundle.class).execute()).size());
    });
    step("paging through all pages", () -> {
      Bundle start = client.search().forResource(Observation.class).where(Observation.SUBJECT.hasId("Patient/" + run + "-p"))
          .count(3).sort().ascending(Observation.DATE).totalMode(SearchTotalModeEnum.ACCURATE).returnBundle(Bundle.class).execute();
      same(7, start.getTotal());
      List<Bundle> all = pages(start);
      same(List.of(3, 3, 1), all.stream().map(p -> p.getEntry().size()).toList());
      same(7, new HashSet<>(all.stream().flatMap(p -> ids(p).stream()).toList()).size());
    });
    step("includes", () -> {
      Bundle found = client.search().forResource(Observation.class).where(Observation.SUBJECT.hasId("Patient/" + run + "-p"))
          .and(Observation.DATE.exactly().day("2026-01-02")).include(Observation.INCLUDE_SUBJECT).returnBundle(Bundle.class).execute();
      same(1, ids(found).size());
      same(List.of("Patient/" + run + "-p"), ids(found, Bundle.SearchEntryMode.INCLUDE));
      Bundle reverse = client.search().forResource(Patient.class).where(Patient.RES_ID.exactly().code(run + "-p"))
          .revInclude(Observation.INCLUDE_SUBJECT).returnBundle(Bundle.class).execute();
      same(7, ids(reverse, Bundle.SearchEntryMode.INCLUDE).size());
      Bundle chain = client.search().forResource(Observation.class).where(Observation.RES_ID.exactly().code(first.getIdPart()))
          .include(Observation.INCLUDE_SUBJECT).include(Patient.INCLUDE_ORGANIZATION.asRecursive()).returnBundle(Bundle.class).execute();
      same(2, ids(chain, Bundle.SearchEntryMode.INCLUDE).size());
    });
    step("compartments", () -> {
      Bundle found = client.search().forResource(Patient.class).withIdAndCompartment(run + "-p", "Observation")
          .where(Observation.STATUS.exactly().code("corrected")).returnBundle(Bundle.class).execute();
      same(List.of(first.getValue()), ids(found));
    });
    step("search of the whole system", () -> {
      Bundle start = client.search().byUrl(client.getServerBase() + "?_type=Patient,Observation&_count=4&_lastUpdated=ge" + client.read().resource(Observation.class)
          .withIdAndVersion(first.getIdPart(), "1").execute().getMeta().getLastUpdatedElement().getValueAsString().replace("+", "%2B"))
          .returnBundle(Bundle.class).execute();
      List<String> all = allIds(start);
      holds(all.contains(first.getValue()), "the first Observation");
      same(all.size(), new HashSet<>(all).size());
    });
    step("summaries, elements and time", () -> {
      Bundle count = client.search().forResource(Observation.class).where(Observation.SUBJECT.hasId("Patient/" + run + "-p"))
          .summaryMode(SummaryEnum.COUNT).returnBundle(Bundle.class).execute();
      same(7, count.getTotal());
      Bundle part = client.search().forResource(Patient.class).where(Patient.RES_ID.exactly().code(run + "-p"))
          .elementsSubset("birthDate").returnBundle(Bundle.class).execute();
      Patient p = (Patient) part.getEntryFirstRep().getResource();
      same("1990-02-03", p.getBirthDateElement().getValueAsString());
      holds(p.getGender() == null, "no other element");
      Observation o = client.read().resource(Observation.class).withId(first.getIdPart()).execute();
      same(1, ids(client.search().forResource(Observation.class).where(Observation.RES_ID.exactly().code(first.getIdPart()))
          .lastUpdated(new DateRangeParam(o.getMeta().getLastUpdated(), null)).returnBundle(Bundle.class).execute()).size());
    });
  }

  // ---- Bundles and conditions

  void bundles() {
    step("transaction", () -> {
      Patient other = new Patient();
      other.setActive(true).addIdentifier().setSystem(NAMING).setValue(run + "-t");
      Observation o = observation(8);
      o.setSubject(new Reference("urn:uuid:11111111-2222-4333-8444-555555555555"));
      Bundle bundle = new Bundle();
      bundle.setType(Bundle.BundleType.TRANSACTION);
      bundle.addEntry().setFullUrl("urn:uuid:11111111-2222-4333-8444-555555555555").setResource(other).getRequest()
          .setMethod(Bundle.HTTPVerb.POST).setUrl("Patient").setIfNoneExist("identifier=" + NAMING + "|" + run + "-t");
      bundle.addEntry().setResource(o).getRequest().setMethod(Bundle.HTTPVerb.POST).setUrl("Observation");
      bundle.addEntry().getRequest().setMethod(Bundle.HTTPVerb.GET).setUrl("Patient/" + run + "-p");
      Bundle answer = client.transaction().withBundle(bundle).execute();
      same(Bundle.BundleType.TRANSACTIONRESPONSE, answer.getType());
      same(List.of("201", "201", "200"), answer.getEntry().stream().map(e -> e.getResponse().getStatus().substring(0, 3)).toList());
      Observation stored = client.read().resource(Observation.class).withUrl(answer.getEntry().get(1).getResponse().getLocation()).execute();
      holds(answer.getEntryFirstRep().getResponse().getLocation().contains(stored.getSubject().getReference()), "the reference follows the new id");
      same(run + "-p", answer.getEntry().get(2).getResource().getIdElement().getIdPart());
    });
    step("transaction of records", () -> {
      List<IBaseResource> answers = client.transaction().withResources(List.of(basic(run), basic(run))).execute();
      same(2, answers.size());
    });
    step("batch", () -> {
      Bundle bundle = new Bundle();
      bundle.setType(Bundle.BundleType.BATCH);
      bundle.addEntry().getRequest().setMethod(Bundle.HTTPVerb.GET).setUrl("Observation?subject=Patient/" + run + "-p&_count=2");
      bundle.addEntry().getRequest().setMethod(Bundle.HTTPVerb.GET).setUrl("Patient/nobody");
      bundle.addEntry().setResource(basic(run)).getRequest().setMethod(Bundle.HTTPVerb.POST).setUrl("Basic");
      Bundle answer = client.transaction().withBundle(bundle).execute();
      same(Bundle.BundleType.BATCHRESPONSE, answer.getType());
      same(List.of("200", "404", "201"), answer.getEntry().stream().map(e -> e.getResponse().getStatus().substring(0, 3)).toList());
      holds(answer.getEntryFirstRep().getResource() instanceof Bundle, "the result of the search");
      holds(answer.getEntry().get(1).getResponse().getOutcome() instanceof OperationOutcome, "why not");
    });
    step("conditional create, update and delete", () -> {
      MethodOutcome found = client.create().resource(observation(1)).conditional()
          .where(Observation.IDENTIFIER.exactly().systemAndCode(NAMING, run + "-1")).execute();
      same(first.getIdPart(), found.getId().getIdPart());
      holds(!Boolean.TRUE.equals(found.getCreated()), "nothing is created");
      MethodOutcome created = client.update().resource(observation(9)).conditional()
          .where(Observation.IDENTIFIER.exactly().systemAndCode(NAMING, run + "-9")).execute();
      same(true, created.getCreated());
      MethodOutcome updated = client.update().resource(observation(9).setStatus(Observation.ObservationStatus.AMENDED)).conditional()
          .where(Observation.IDENTIFIER.exactly().systemAndCode(NAMING, run + "-9")).execute();
      same(created.getId().getIdPart(), updated.getId().getIdPart());
      refused(PreconditionFailedException.class, () -> client.update().resource(observation(9)).conditional()
          .where(Observation.SUBJECT.hasId("Patient/" + run + "-p")).execute());
      client.delete().resourceConditionalByType(Observation.class)
          .where(Observation.IDENTIFIER.exactly().systemAndCode(NAMING, run + "-9")).execute();
      same(List.of(), ids(search(Observation.class, "identifier=" + NAMING + "%7C" + run + "-9")));
    });
  }

  // ---- Operations

  void operations() {
    step("$validate", () -> {
      OperationOutcome good = (OperationOutcome) client.validate().resource(patient).execute().getOperationOutcome();
      holds(good.getIssue().stream().noneMatch(i -> i.getSeverity() == OperationOutcome.IssueSeverity.ERROR), "no errors");
      Observation half = new Observation().setStatus(Observation.ObservationStatus.FINAL);
      OperationOutcome bad = (OperationOutcome) client.validate().resource(half).execute().getOperationOutcome();
      holds(bad.getIssue().stream().anyMatch(i -> i.getSeverity() == OperationOutcome.IssueSeverity.ERROR
          && i.getExpression().stream().anyMatch(x -> x.getValue().equals("Observation.code"))), "the element is named");
    });
    step("$meta", () -> same("4", client.meta().get(Meta.class).fromResource(first).execute().getVersionId()));
    step("$everything", () -> {
      Bundle start = client.operation().onInstance("Patient/" + run + "-p").named("everything")
          .withParameter(Parameters.class, "_count", new IntegerType(5)).useHttpGet().returnResourceType(Bundle.class).execute();
      List<String> all = pages(start).stream().flatMap(p -> p.getEntry().stream())
          .map(e -> e.getResource().getIdElement().toUnqualifiedVersionless().getValue()).toList();
      holds(all.contains("Patient/" + run + "-p"), "the patient");
      same(7L, all.stream().filter(id -> id.startsWith("Observation/")).count());
      same(all.size(), new HashSet<>(all).size());
    });
    step("$meta-add and $meta-delete", () -> {
      Meta tag = new Meta().addTag(new Coding(NAMING, "seen", null));
      same("seen", client.meta().add().onResource(first).meta(tag).execute().getTagFirstRep().getCode());
      same(List.of(first.getValue()), ids(search(Observation.class, "_tag=" + NAMING + "%7Cseen&subject=Patient/" + run + "-p")));
      same(0, client.meta().delete().onResource(first).meta(tag).execute().getTag().size());
    });
    step("$expand", () -> {
      ValueSet expanded = client.operation().onType(ValueSet.class).named("expand")
          .withParameter(Parameters.class, "url", new UriType("http://hl7.org/fhir/ValueSet/administrative-gender"))
          .returnResourceType(ValueSet.class).execute();
      same(List.of("female", "male", "other", "unknown"), expanded.getExpansion().getContains().stream().map(c -> c.getCode()).sorted().toList());
    });
    step("$validate-code, $lookup and $subsumes", () -> {
      UriType system = new UriType(GUIDE + "CodeSystem/service-type-my-core");
      for (String code : List.of("VCI", "VCX")) {
        Parameters answer = client.operation().onType(ValueSet.class).named("validate-code")
            .withParameter(Parameters.class, "url", new UriType(GUIDE + "ValueSet/service-type-my-core"))
            .andParameter("system", system).andParameter("code", new CodeType(code)).execute();
        same(code.equals("VCI"), answer.getParameterBool("result"));
      }
      Parameters found = client.operation().onType(CodeSystem.class).named("lookup")
          .withParameter(Parameters.class, "system", system).andParameter("code", new CodeType("VCI")).useHttpGet().execute();
      same("Individual Virtual Consultation", found.getParameter("display").getValue().primitiveValue());
      Parameters subsumed = client.operation().onType(CodeSystem.class).named("subsumes")
          .withParameter(Parameters.class, "system", system).andParameter("codeA", new CodeType("VCI")).andParameter("codeB", new CodeType("VCI")).execute();
      same("equivalent", subsumed.getParameter("outcome").getValue().primitiveValue());
    });
    step("$book", () -> {
      HealthcareService service = client.read().resource(HealthcareService.class).withId(this.service).execute();
      Schedule schedule = new Schedule();
      schedule.setId(run + "-schedule");
      schedule.setActive(true).setServiceCategory(service.getCategory()).setServiceType(service.getType()).setSpecialty(service.getSpecialty());
      schedule.addActor(new Reference("HealthcareService/" + this.service).setType("HealthcareService").setDisplay(service.getName()));
      CodeableConcept internal = new CodeableConcept(new Coding(GUIDE + "CodeSystem/schedule-type-my-core", "internal", null));
      schedule.addExtension(GUIDE + "StructureDefinition/schedule-type-my-core", internal);
      Slot slot = new Slot();
      slot.setId(run + "-slot");
      slot.setServiceCategory(service.getCategory()).setServiceType(service.getType()).setSpecialty(service.getSpecialty());
      slot.setAppointmentType(internal).setSchedule(new Reference("Schedule/" + run + "-schedule")).setStatus(Slot.SlotStatus.FREE);
      slot.setStartElement(new InstantType(new Date(System.currentTimeMillis() + 3_600_000)));
      slot.setEndElement(new InstantType(new Date(System.currentTimeMillis() + 5_400_000)));
      Extension quota = slot.addExtension().setUrl(GUIDE + "StructureDefinition/slot-quota-my-core");
      quota.addExtension("available", new IntegerType(1));
      quota.addExtension("quota", new IntegerType(1));
      client.update().resource(schedule).execute();
      client.update().resource(slot).execute();
      Appointment booked = book("demo-aminah");
      same(Appointment.AppointmentStatus.BOOKED, booked.getStatus());
      refused(ResourceVersionConflictException.class, () -> book("demo-lim"));
    });
    step("definitions", () -> {
      for (Class<? extends IBaseResource> type : List.of(SearchParameter.class, StructureDefinition.class, OperationDefinition.class,
          CompartmentDefinition.class, CodeSystem.class, ValueSet.class)) {
        holds(!search(type, "_count=50").getEntry().isEmpty(), type.getSimpleName());
      }
    });
  }

  Appointment book(String patient) {
    return client.operation().onInstance("Slot/" + run + "-slot").named("book")
        .withParameter(Parameters.class, "patient", new Reference("Patient/" + patient))
        .returnResourceType(Appointment.class).execute();
  }
}
