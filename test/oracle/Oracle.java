// Judges and rewrites FHIR R4 resources with HL7's validator and HAPI FHIR's
// parsers.
//
// The first argument is a directory of StructureDefinitions, CodeSystems and
// ValueSets in JSON. Standard input has one task on each line, and standard
// output one answer for each, in order. A task is either to judge,
//
//   {"document": "a resource as text", "profiles": ["…"]}
//   {"issues": [{"severity": "error", "path": "Patient.name[0]", "key": "…", "text": "…"}]} or {"error": "…"}
//
// by R4 alone when there are no profiles (the definitions of the directory are
// not known then), or to read strictly and write anew:
//
//   {"document": "a resource as text", "write": true}
//   {"json": "…", "xml": "…"} or {"error": "…"}
//
// Nothing is asked of the network.

import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.DefaultProfileValidationSupport;
import ca.uhn.fhir.context.support.IValidationSupport;
import ca.uhn.fhir.parser.DataFormatException;
import ca.uhn.fhir.parser.IParser;
import ca.uhn.fhir.parser.StrictErrorHandler;
import ca.uhn.fhir.validation.FhirValidator;
import ca.uhn.fhir.validation.SingleValidationMessage;
import ca.uhn.fhir.validation.ValidationOptions;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.hl7.fhir.common.hapi.validation.support.CommonCodeSystemsTerminologyService;
import org.hl7.fhir.common.hapi.validation.support.InMemoryTerminologyServerValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.PrePopulatedValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.SnapshotGeneratingValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.UnknownCodeSystemWarningValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;
import org.hl7.fhir.common.hapi.validation.validator.FhirInstanceValidator;
import org.hl7.fhir.instance.model.api.IBaseResource;
import org.hl7.fhir.r5.utils.validation.constants.BestPracticeWarningLevel;

public class Oracle {
  static final FhirContext fhir = FhirContext.forR4();
  static final ObjectMapper json = new ObjectMapper();

  public static void main(String[] args) throws IOException {
    PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    System.setOut(System.err); // what libraries print
    fhir.setParserErrorHandler(new StrictErrorHandler());
    DefaultProfileValidationSupport r4 = new DefaultProfileValidationSupport(fhir);
    FhirValidator base = validator(r4);
    FhirValidator guide = validator(definitions(Path.of(args[0])), r4);
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line; (line = in.readLine()) != null; ) {
      JsonNode task = json.readTree(line);
      String document = task.get("document").asText();
      ObjectNode answer;
      if (task.path("write").asBoolean()) {
        answer = write(document);
      } else {
        ValidationOptions options = new ValidationOptions();
        task.path("profiles").forEach(profile -> options.addProfile(profile.asText()));
        answer = judge(options.getProfiles().isEmpty() ? base : guide, document, options);
      }
      out.println(json.writeValueAsString(answer));
    }
  }

  static ObjectNode judge(FhirValidator validator, String document, ValidationOptions options) {
    ObjectNode answer = json.createObjectNode();
    ArrayNode issues = answer.putArray("issues");
    List<SingleValidationMessage> messages;
    try {
      messages = validator.validateWithResult(document, options).getMessages();
    } catch (RuntimeException e) { // what HAPI FHIR lacks and the validator asks for, or a mistake of the validator
      return answer.put("error", String.valueOf(e.getMessage()));
    }
    for (SingleValidationMessage m : messages) {
      issues
          .addObject()
          .put("severity", m.getSeverity().getCode())
          .put("path", m.getLocationString())
          .put("key", m.getMessageId())
          .put("text", m.getMessage());
    }
    return answer;
  }

  static ObjectNode write(String document) {
    ObjectNode answer = json.createObjectNode();
    boolean xml = document.stripLeading().startsWith("<");
    try {
      IBaseResource resource = (xml ? fhir.newXmlParser() : fhir.newJsonParser()).parseResource(document);
      return answer.put("json", whole(fhir.newJsonParser()).encodeResourceToString(resource))
          .put("xml", whole(fhir.newXmlParser()).encodeResourceToString(resource));
    } catch (DataFormatException e) {
      return answer.put("error", String.valueOf(e.getMessage()));
    }
  }

  // whole keeps what a parser leaves out by itself.
  static IParser whole(IParser p) {
    return p.setStripVersionsFromReferences(false).setOverrideResourceIdWithBundleEntryFullUrl(false);
  }

  static IValidationSupport definitions(Path directory) throws IOException {
    PrePopulatedValidationSupport all = new PrePopulatedValidationSupport(fhir);
    try (Stream<Path> files = Files.list(directory)) {
      for (Path file : files.sorted().toList()) {
        all.addResource(fhir.newJsonParser().parseResource(Files.readString(file)));
      }
    }
    return all;
  }

  static FhirValidator validator(IValidationSupport... definitions) {
    ValidationSupportChain chain = new ValidationSupportChain(definitions);
    chain.addValidationSupport(new CommonCodeSystemsTerminologyService(fhir));
    chain.addValidationSupport(new InMemoryTerminologyServerValidationSupport(fhir));
    chain.addValidationSupport(new SnapshotGeneratingValidationSupport(fhir));
    UnknownCodeSystemWarningValidationSupport unknown = new UnknownCodeSystemWarningValidationSupport(fhir);
    unknown.setNonExistentCodeSystemSeverity(IValidationSupport.IssueSeverity.WARNING);
    chain.addValidationSupport(unknown);
    FhirInstanceValidator instance = new FhirInstanceValidator(chain);
    instance.setAnyExtensionsAllowed(true);
    instance.setErrorForUnknownProfiles(false);
    instance.setBestPracticeWarningLevel(BestPracticeWarningLevel.Ignore);
    return fhir.newValidator().registerValidatorModule(instance);
  }
}
