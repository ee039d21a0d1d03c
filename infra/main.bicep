// Everything that one environment needs, in one resource group. `infra/deploy.sh` runs it; `docs/deploy.md` explains it.
targetScope = 'resourceGroup'

// --- what it is called, and where

@description('The environment: part of every name. Lower-case letters, digits and hyphens.')
@minLength(2)
@maxLength(16)
param environmentName string

@description('The region of everything but the Static Web App, which has few of its own.')
param location string = resourceGroup().location

@description('Tags of every resource.')
param tags object = {}

@description('Only the vault, its reader and its log: `infra/deploy.sh` deploys this first, so that the secrets are there before the settings that refer to them.')
param vaultOnly bool = false

// --- what the product does

@description('`public`: pictures have an address that anybody who knows it can read. `private`: they are read through the API, by their owner.')
@allowed(['public', 'private'])
param imageAccess string = 'public'

@description('The address of the front end that signs people in, for example https://app.example.com: its pages may write.')
param nextAuthUrl string = ''

@description('Further origins whose pages may call with the session cookie (CORS), for example https://www.example.com.')
param allowedOrigins string[] = []

@description('What the session cookie holds: NextAuth encrypts it unless the front end says otherwise.')
@allowed(['encrypted', 'signed', 'introspect'])
param sessionFormat string = 'encrypted'

@description('Whether the vault holds NEXTAUTH-SECRET-PREVIOUS, an older secret that still verifies: true while secrets are rotated.')
param previousSecret bool = false

@description('The chain of models, best first, separated by commas. Empty: the default of the product.')
param geminiModels string = ''

@description('Seconds after which a response leaves: 200 or 202. Empty: 40 behind Static Web Apps, 95 elsewhere; less where a proxy in front gives up earlier.')
@maxLength(4)
param responseBudgetSeconds string = ''

@description('What one user may spend in a day, in US dollars, as a decimal number. Empty: no limit.')
@maxLength(12)
param dailyBudgetUsdPerUser string = ''

@description('What all users together may spend in a day, in US dollars, as a decimal number. Empty: no limit.')
@maxLength(12)
param dailyBudgetUsd string = ''

@description('What one user may spend in a calendar month, in US dollars, as a decimal number. Empty: no limit.')
@maxLength(12)
param monthlyBudgetUsdPerUser string = ''

@description('What all users together may spend in a calendar month, in US dollars, as a decimal number. Empty: no limit.')
@maxLength(12)
param monthlyBudgetUsd string = ''

@description('Other limits of named users: a JSON object as docs/money.md has it. Empty: none.')
@maxLength(8000)
param userLimits string = ''

@description('When the recovery looks for generations that no process works on: an NCRONTAB expression. Each run costs what docs/deploy.md says.')
param recoveryInterval string = '0 * * * * *'

// --- how large it is

@description('Memory of one instance, in MB.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048

@description('The most instances that the platform may start.')
@minValue(40)
@maxValue(1000)
param maximumInstanceCount int = 40

@description('Instances that are always there for HTTP: 1 takes the cold start away and costs money while nothing happens.')
@minValue(0)
@maxValue(20)
param alwaysReadyHttp int = 0

@description('Requests that one instance takes at a time before another is started. Nearly all of a request is waiting for the model; 100 with bodies of 0.7 MB hold 150 MB.')
@minValue(1)
@maxValue(1000)
param httpConcurrency int = instanceMemoryMB < 2048 ? 50 : 100

// --- what it keeps

@description('Serverless Cosmos DB bills by the request; autoscale has a floor price and takes more at once.')
@allowed(['serverless', 'autoscale'])
param cosmosThroughput string = 'serverless'

@description('The most request units a second, where Cosmos DB is `autoscale`.')
@minValue(1000)
@maxValue(100000)
param cosmosAutoscaleMaxRUs int = 1000

@description('The name of an existing Cosmos DB account in this group that takes the place of the environment\'s own: one that was restored. Its containers and the app\'s role are deployed, the account stays as it is. Empty: the environment\'s own.')
@maxLength(44)
param cosmosAccountName string = ''

@description('Days after which a record goes by itself; its picture stays. 0: never.')
@minValue(0)
@maxValue(3650)
param recordDays int = 0

@description('Replication of the pictures: LRS keeps three copies in one place, ZRS in three zones.')
@allowed(['Standard_LRS', 'Standard_ZRS'])
param picturesSku string = 'Standard_LRS'

@description('Days that logs are kept.')
@minValue(30)
@maxValue(730)
param logDays int = 30

// --- who is told, who operates

@description('Where alerts go. Empty: they are only seen in the portal.')
param alertEmail string = ''

@description('Dollars in one day from which on an alert is raised.')
@minValue(1)
param alertDailyUsd int = 50

@description('The object id of the person or pipeline that sets the secrets. Empty: whoever has the right already.')
param operatorPrincipalId string = ''

@description('What kind of principal that is.')
@allowed(['User', 'ServicePrincipal', 'Group'])
param operatorPrincipalType string = 'User'

// --- the Static Web App

@description('Whether a Static Web App (Standard) stands in front. `infra/deploy.sh` links the API to it at last, because a linked function app refuses direct calls.')
param staticWebApp bool = false

@description('The region of the Static Web App: one of the few that it is offered in.')
@allowed(['centralus', 'eastus2', 'eastasia', 'westeurope', 'westus2'])
param staticWebAppLocation string = 'westeurope'

// The token makes names unique in the world, and the same at every deployment of this environment to this group.
var token = uniqueString(subscription().id, resourceGroup().id, environmentName)
var compact = take(replace(environmentName, '-', ''), 7)
var names = {
  identity: 'id-${environmentName}-${token}'
  workspace: 'log-${environmentName}-${token}'
  insights: 'appi-${environmentName}-${token}'
  hostStorage: 'sthost${compact}${take(token, 11)}'
  pictures: 'stpics${compact}${take(token, 11)}'
  cosmos: empty(cosmosAccountName) ? 'cosmos-${environmentName}-${token}' : cosmosAccountName
  vault: 'kv-${compact}-${token}'
  plan: 'plan-${environmentName}-${token}'
  functions: 'func-${environmentName}-${token}'
  site: 'swa-${environmentName}-${token}'
}
// What a browser sends as the origin of a page: without a path and without a slash at the end.
var nextAuthOrigin = empty(nextAuthUrl) ? [] : [join(take(split(nextAuthUrl, '/'), 3), '/')]
var allTags = union({ application: 'image-api', environment: environmentName }, tags)

// Modules are given names, not outputs of others, so that what-if and the tests see everything resolved; `dependsOn` keeps the order.

module identity 'modules/identity.bicep' = {
  name: 'identity'
  params: { name: names.identity, location: location, tags: allTags }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  params: {
    workspaceName: names.workspace
    insightsName: names.insights
    identityName: names.identity
    logDays: logDays
    location: location
    tags: allTags
  }
  dependsOn: [identity]
}

module hostStorage 'modules/host-storage.bicep' = if (!vaultOnly) {
  name: 'host-storage'
  params: { name: names.hostStorage, identityName: names.identity, location: location, tags: allTags }
  dependsOn: [identity]
}

module pictures 'modules/pictures.bicep' = if (!vaultOnly) {
  name: 'pictures'
  params: {
    name: names.pictures
    sku: picturesSku
    identityName: names.identity
    imageAccess: imageAccess
    origins: union(nextAuthOrigin, allowedOrigins, staticWebApp ? ['https://${site!.outputs.host}'] : [])
    location: location
    tags: allTags
  }
  dependsOn: [identity]
}

module database 'modules/database.bicep' = if (!vaultOnly && empty(cosmosAccountName)) {
  name: 'database'
  params: { name: names.cosmos, throughput: cosmosThroughput, location: location, tags: allTags }
}

module containers 'modules/containers.bicep' = if (!vaultOnly) {
  name: 'containers'
  params: {
    accountName: names.cosmos
    identityName: names.identity
    throughput: cosmosThroughput
    autoscaleMaxRUs: cosmosAutoscaleMaxRUs
    recordDays: recordDays
  }
  dependsOn: [identity, database]
}

module vault 'modules/vault.bicep' = {
  name: 'vault'
  params: {
    name: names.vault
    identityName: names.identity
    operatorPrincipalId: operatorPrincipalId
    operatorPrincipalType: operatorPrincipalType
    workspaceName: names.workspace
    location: location
    tags: allTags
  }
  dependsOn: [identity, monitoring]
}

module functions 'modules/functions.bicep' = if (!vaultOnly) {
  name: 'functions'
  params: {
    name: names.functions
    planName: names.plan
    identityName: names.identity
    insightsName: names.insights
    hostStorageName: names.hostStorage
    deploymentContainer: 'deployments'
    picturesUrl: 'https://${names.pictures}.blob.${environment().suffixes.storage}'
    cosmosEndpoint: 'https://${names.cosmos}.documents.azure.com:443/'
    vaultUri: 'https://${names.vault}${environment().suffixes.keyvaultDns}'
    imageAccess: imageAccess
    nextAuthUrl: nextAuthUrl
    allowedOrigins: allowedOrigins
    sessionFormat: sessionFormat
    previousSecret: previousSecret
    geminiModels: geminiModels
    responseBudgetSeconds: responseBudgetSeconds
    dailyBudgetUsdPerUser: dailyBudgetUsdPerUser
    dailyBudgetUsd: dailyBudgetUsd
    monthlyBudgetUsdPerUser: monthlyBudgetUsdPerUser
    monthlyBudgetUsd: monthlyBudgetUsd
    userLimits: userLimits
    recoveryInterval: recoveryInterval
    instanceMemoryMB: instanceMemoryMB
    maximumInstanceCount: maximumInstanceCount
    alwaysReadyHttp: alwaysReadyHttp
    httpConcurrency: httpConcurrency
    location: location
    tags: allTags
  }
  // The host cannot start before its roles and containers are there.
  dependsOn: [monitoring, hostStorage, pictures, containers, vault]
}

module alerts 'modules/alerts.bicep' = if (!vaultOnly) {
  name: 'alerts'
  params: {
    environmentName: environmentName
    insightsName: names.insights
    cosmosName: names.cosmos
    email: alertEmail
    dailyUsd: alertDailyUsd
    location: location
    tags: allTags
  }
  dependsOn: [monitoring, database]
}

module site 'modules/site.bicep' = if (staticWebApp && !vaultOnly) {
  name: 'site'
  params: { name: names.site, location: staticWebAppLocation, tags: allTags }
}

@description('Where the API answers. With the Static Web App, only through it.')
output apiUrl string = vaultOnly ? '' : 'https://${staticWebApp ? site!.outputs.host : functions!.outputs.host}'
@description('The function app itself. It refuses calls as soon as a Static Web App is linked to it.')
output functionsUrl string = vaultOnly ? '' : 'https://${functions!.outputs.host}'
output region string = location
output functionsId string = vaultOnly ? '' : functions!.outputs.id
output functionsName string = names.functions
output vaultName string = names.vault
output picturesUrl string = 'https://${names.pictures}.blob.${environment().suffixes.storage}'
output cosmosEndpoint string = 'https://${names.cosmos}.documents.azure.com:443/'
output insightsName string = names.insights
output siteName string = staticWebApp ? names.site : ''
