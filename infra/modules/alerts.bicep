// Alerts. Their queries are in `infra/alerts/`; `infra/queries.kql` explains why they count each generation once.

param environmentName string
param insightsName string
param cosmosName string
param email string
param dailyUsd int
param location string
param tags object

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: insightsName
}

resource cosmos 'Microsoft.DocumentDB/databaseAccounts@2025-04-15' existing = {
  name: cosmosName
}

resource people 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(email)) {
  name: 'ag-${environmentName}'
  location: 'global'
  tags: tags
  properties: {
    groupShortName: take(environmentName, 12)
    enabled: true
    emailReceivers: [{ name: 'operators', emailAddress: email, useCommonAlertSchema: true }]
  }
}

// Failures are errors that the caller cannot fix. Invalid requests and refusals by the model are not counted.
var rules = [
  {
    name: 'failures'
    description: 'More than 10 % of at least ten generations in 15 minutes failed for a reason that is not the caller\'s.'
    severity: 1
    query: loadTextContent('../alerts/failures.kql')
    window: 'PT15M'
    frequency: 'PT5M'
  }
  {
    name: 'slow'
    description: '5 % of at least ten generations in 30 minutes took longer than 120 s.'
    severity: 2
    query: loadTextContent('../alerts/slow.kql')
    window: 'PT30M'
    frequency: 'PT15M'
  }
  {
    name: 'unavailable'
    description: 'The API answered more than 5 % of at least twenty requests in 15 minutes with 5xx.'
    severity: 1
    query: loadTextContent('../alerts/unavailable.kql')
    window: 'PT15M'
    frequency: 'PT5M'
  }
  {
    name: 'poison'
    description: 'A queue message failed five times. The timer finds its generation again; check the log for the reason.'
    severity: 2
    query: loadTextContent('../alerts/poison.kql')
    window: 'PT15M'
    frequency: 'PT15M'
  }
  {
    name: 'money'
    description: 'More than ${dailyUsd} dollars were spent in a day.'
    severity: 1
    query: replace(loadTextContent('../alerts/money.kql'), 'DAILY_USD', string(dailyUsd))
    window: 'P1D'
    frequency: 'PT1H'
  }
]

resource queries 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [
  for rule in rules: {
    name: 'alert-${environmentName}-${rule.name}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: '${environmentName}: ${rule.name}'
      description: rule.description
      severity: rule.severity
      enabled: true
      scopes: [insights.id]
      evaluationFrequency: rule.frequency
      windowSize: rule.window
      // The tables are empty in a new environment: a query of them must not fail the deployment.
      skipQueryValidation: true
      autoMitigate: true
      criteria: {
        allOf: [
          {
            query: rule.query
            timeAggregation: 'Count'
            operator: 'GreaterThan'
            threshold: 0
            failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
          }
        ]
      }
      actions: { actionGroups: empty(email) ? [] : [people.id] }
    }
  }
]

resource throttled 'Microsoft.Insights/metricAlerts@2026-01-01' = {
  name: 'alert-${environmentName}-cosmos-429'
  location: 'global'
  tags: tags
  properties: {
    description: 'Cosmos DB refused requests (429): use autoscale, or raise its maximum.'
    severity: 2
    enabled: true
    scopes: [cosmos.id]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          name: 'throttled'
          criterionType: 'StaticThresholdCriterion'
          metricNamespace: 'Microsoft.DocumentDB/databaseAccounts'
          metricName: 'TotalRequests'
          dimensions: [{ name: 'StatusCode', operator: 'Include', values: ['429'] }]
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 20
        }
      ]
    }
    actions: empty(email) ? [] : [{ actionGroupId: people.id }]
  }
}
