// The protocol's own suite, as it comes. Its packaged command finds no tests with vitest 4.

import { runConformanceTests } from "@durable-streams/server-conformance-tests";
import { inject } from "vitest";

runConformanceTests({ baseUrl: inject("base") });
