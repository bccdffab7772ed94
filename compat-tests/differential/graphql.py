"""Cases of GraphQL: the operations of the stock UI, and queries that are refused."""

from .case import JSON, Case, get, post, raw

_EXPERIMENT = """query MlflowGetExperimentQuery($input: MlflowGetExperimentInput!) @component(name: "MLflow.ExperimentRunTracking") {
  mlflowGetExperiment(input: $input) {
    apiError { code message __typename }
    experiment { artifactLocation creationTime effectiveTraceArchivalRetention experimentId lastUpdateTime lifecycleStage name tags { key value __typename } __typename }
    __typename
  }
}"""
_RUN = """query GetRun($data: MlflowGetRunInput!) @component(name: "MLflow.ExperimentRunTracking") {
  mlflowGetRun(input: $data) {
    apiError { helpUrl code message __typename }
    run {
      info { runName status runUuid experimentId artifactUri endTime lifecycleStage startTime userId __typename }
      experiment { experimentId name tags { key value __typename } artifactLocation lifecycleStage lastUpdateTime __typename }
      modelVersions { status version name source __typename }
      data { metrics { key value step timestamp __typename } params { key value __typename } tags { key value __typename } __typename }
      inputs { datasetInputs { dataset { digest name profile schema source sourceType __typename } tags { key value __typename } __typename } modelInputs { modelId __typename } __typename }
      outputs { modelOutputs { modelId step __typename } __typename }
      __typename
    }
    __typename
  }
}"""
_SEARCH = """query SearchRuns($data: MlflowSearchRunsInput!) @component(name: "MLflow.ExperimentRunTracking") {
  mlflowSearchRuns(input: $data) {
    apiError { helpUrl code message __typename }
    nextPageToken
    runs {
      experiment { experimentId name artifactLocation lifecycleStage tags { key value __typename } __typename }
      modelVersions { status version name source __typename }
      data { metrics { key value step timestamp __typename } params { key value __typename } tags { key value __typename } __typename }
      info { runName status runUuid experimentId artifactUri endTime lifecycleStage startTime userId __typename }
      __typename
    }
    __typename
  }
}"""
_INTERVAL = """query GetMetricHistoryBulkInterval($data: MlflowGetMetricHistoryBulkIntervalInput!) @component(name: "MLflow.ExperimentRunTracking") {
  mlflowGetMetricHistoryBulkInterval(input: $data) {
    __typename
    metrics { timestamp step runId key value __typename }
    apiError { code message __typename }
  }
}"""


def _ask(name: str, query: object, variables: object = None, operation: str | None = None, path: str = "/graphql") -> Case:
    body = {"query": query, "variables": variables, "operationName": operation}
    return post(path, {k: v for k, v in body.items() if v is not None}, name=name)


CASES: list[Case] = [
    post("experiments/create", {"name": "for graphql", "tags": [{"key": "k", "value": "ü"}]}, ge="experiment_id"),
    post("runs/create", {"experiment_id": "$ge", "start_time": 1000, "run_name": "graph", "user_id": "me"}, gr="run.info.run_id"),
    post("runs/create", {"experiment_id": "$ge", "start_time": 2000, "run_name": "bare"}, gr2="run.info.run_id"),
    post("runs/log-batch", {"run_id": "$gr", "metrics": [{"key": "m", "value": i / 4, "timestamp": 10 + i, "step": i} for i in range(20)] + [{"key": "nan", "value": "NaN", "timestamp": 1}, {"key": "inf", "value": "Infinity", "timestamp": 1}, {"key": "int", "value": 3, "timestamp": 1, "step": 2**53 + 1}], "params": [{"key": "p", "value": "☃"}]}, name="graphql setup"),
    post("runs/log-inputs", {"run_id": "$gr", "datasets": [{"dataset": {"name": "train", "digest": "d", "source_type": "code", "source": "s"}, "tags": [{"key": "mlflow.data.context", "value": "training"}]}]}, name="graphql setup input"),
    post("logged-models", {"experiment_id": "$ge", "name": "model", "source_run_id": "$gr"}, gm="model.info.model_id"), post("runs/outputs", {"run_id": "$gr", "models": [{"model_id": "$gm", "step": 3}]}, name="graphql setup output"),
    post("runs/log-inputs", {"run_id": "$gr", "models": [{"model_id": "$gm"}]}, name="graphql setup model input"),
    post("runs/update", {"run_id": "$gr", "status": "FINISHED", "end_time": 3000}, name="graphql setup end"),
    _ask("experiment", _EXPERIMENT, {"input": {"experimentId": "$ge"}}, "MlflowGetExperimentQuery"), _ask("default experiment", _EXPERIMENT, {"input": {"experimentId": "0"}}, "MlflowGetExperimentQuery"),
    *[_ask(f"experiment {v!r}", _EXPERIMENT, {"input": {"experimentId": v}}, "MlflowGetExperimentQuery") for v in ("99999", "abc", "", 0, None, ["0"], 1.5, True)],
    _ask("experiment without input", _EXPERIMENT, {}, "MlflowGetExperimentQuery"), _ask("experiment with empty input", _EXPERIMENT, {"input": {}}, "MlflowGetExperimentQuery"), _ask("experiment with an unknown input field", _EXPERIMENT, {"input": {"experimentId": "0", "x": 1}}, "MlflowGetExperimentQuery"), _ask("experiment without variables", _EXPERIMENT), _ask("experiment, variables null", _EXPERIMENT, None, "MlflowGetExperimentQuery"),
    _ask("wrong operation name", _EXPERIMENT, {"input": {"experimentId": "0"}}, "Other"), _ask("no operation name", _EXPERIMENT, {"input": {"experimentId": "0"}}),
    _ask("run", _RUN, {"data": {"runId": "$gr"}}, "GetRun"), _ask("bare run", _RUN, {"data": {"runId": "$gr2"}}, "GetRun"), _ask("no such run", _RUN, {"data": {"runId": "nope"}}, "GetRun"), _ask("run by runUuid", _RUN, {"data": {"runUuid": "$gr"}}, "GetRun"), _ask("run without an id", _RUN, {"data": {}}, "GetRun"), _ask("run of an empty id", _RUN, {"data": {"runId": ""}}, "GetRun"),
    _ask("search", _SEARCH, {"data": {"experimentIds": ["$ge"], "orderBy": ["start_time"]}}, "SearchRuns"), _ask("search one", _SEARCH, {"data": {"experimentIds": ["$ge"], "orderBy": ["start_time"], "maxResults": 1}}, "SearchRuns"), _ask("search by filter", _SEARCH, {"data": {"experimentIds": ["$ge"], "filter": "metrics.m > 1"}}, "SearchRuns"), _ask("search by a bad filter", _SEARCH, {"data": {"experimentIds": ["$ge"], "filter": "foo.bar = 1"}}, "SearchRuns"),
    _ask("search with a view type", _SEARCH, {"data": {"experimentIds": ["$ge"], "runViewType": "DELETED_ONLY"}}, "SearchRuns"), _ask("search with a bad view type", _SEARCH, {"data": {"experimentIds": ["$ge"], "runViewType": "NO"}}, "SearchRuns"), _ask("search of nothing", _SEARCH, {"data": {}}, "SearchRuns"), _ask("search with a bad token", _SEARCH, {"data": {"experimentIds": ["$ge"], "pageToken": "x"}}, "SearchRuns"),
    _ask("interval", _INTERVAL, {"data": {"runIds": ["$gr"], "metricKey": "m", "maxResults": 5}}, "GetMetricHistoryBulkInterval"), _ask("interval default", _INTERVAL, {"data": {"runIds": ["$gr", "$gr2"], "metricKey": "m"}}, "GetMetricHistoryBulkInterval"), _ask("interval of steps", _INTERVAL, {"data": {"runIds": ["$gr"], "metricKey": "m", "startStep": 3, "endStep": 9, "maxResults": 3}}, "GetMetricHistoryBulkInterval"),
    _ask("interval of NaN", _INTERVAL, {"data": {"runIds": ["$gr"], "metricKey": "nan"}}, "GetMetricHistoryBulkInterval"), _ask("interval of no run", _INTERVAL, {"data": {"runIds": ["nope"], "metricKey": "m"}}, "GetMetricHistoryBulkInterval"), _ask("interval without runs", _INTERVAL, {"data": {"metricKey": "m"}}, "GetMetricHistoryBulkInterval"), _ask("interval of many", _INTERVAL, {"data": {"runIds": ["$gr"], "metricKey": "m", "maxResults": 99999}}, "GetMetricHistoryBulkInterval"),
    _ask("test field", '{ test(inputString: "x") { output } }'), _ask("test mutation", 'mutation { testMutation(inputString: "x") { output } }'), _ask("unknown field", "{ nope }"), _ask("unknown nested field", '{ mlflowGetExperiment(input: {experimentId: "0"}) { experiment { nope } } }'), _ask("syntax error", "{ nope "), _ask("empty query", ""), _ask("no selection", "{ mlflowGetExperiment }"),
    _ask("inline arguments", '{ mlflowGetExperiment(input: {experimentId: "0"}) { experiment { name lifecycleStage } apiError { code } } }'), _ask("alias", '{ a: mlflowGetExperiment(input: {experimentId: "0"}) { experiment { n: name } } }'), _ask("two aliases", '{ a: mlflowGetExperiment(input: {experimentId: "0"}) { experiment { name } } b: mlflowGetExperiment(input: {experimentId: "0"}) { experiment { name } } }'),
    _ask("fragment", 'query { mlflowGetExperiment(input: {experimentId: "0"}) { ...f } } fragment f on MlflowGetExperimentResponse { experiment { name } }'), _ask("many aliases", "{" + " ".join(f'a{i}: mlflowGetExperiment(input: {{experimentId: "0"}}) {{ experiment {{ name }} }}' for i in range(20)) + "}"), _ask("too many selections", '{ mlflowGetExperiment(input: {experimentId: "0"}) { experiment {' + " ".join(f"a{i}: name" for i in range(1100)) + "} } }"),
    _ask("introspection", "{ __schema { queryType { name } } }"), _ask("typename", "{ __typename }"), _ask("introspection of a type", '{ __type(name: "MlflowExperiment") { name kind } }'), _ask("missing argument", "{ mlflowGetExperiment { experiment { name } } }"), _ask("wrong argument", "{ mlflowGetExperiment(x: 1) { experiment { name } } }"), _ask("subscription", "subscription { x }"), _ask("two operations", "query A { __typename } query B { __typename }"),
    raw("POST", "/graphql", b"", name="graphql without a body", headers=JSON), raw("POST", "/graphql", b"[]", name="graphql with a list", headers=JSON), raw("POST", "/graphql", b"{x", name="graphql with broken JSON", headers=JSON), raw("POST", "/graphql", b"query=x", name="graphql with a form"), get("/graphql"), get("/graphql", query="{ __typename }"), raw("PUT", "/graphql"), _ask("graphql by ajax", "{ __typename }", path="/ajax-api/2.0/graphql"), _ask("query of a number", 5), _ask("search datasets", "{ mlflowSearchDatasets }"),
    _ask("model versions of a filter", '{ mlflowSearchModelVersions(input: {filter: "run_id=\'x\'"}) { modelVersions { name } } }'), _ask("files", 'query($d: MlflowListArtifactsInput!) { mlflowListArtifacts(input: $d) { rootUri files { path isDir fileSize } } }', {"d": {"runId": "$gr"}}),
]  # fmt: skip
