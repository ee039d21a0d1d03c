// Everything that one environment needs, in one resource group. `infra/deploy.sh` runs it; `docs/deploy.md` explains it.
targetScope = 'resourceGroup'

// --- names and region

@description('The environment: part of every name. Lower-case letters, digits and hyphens.')
@minLength(2)
@maxLength(16)
param environmentName string

@description('Region of every resource except the Static Web App.')
param location string = resourceGroup().location

@description('Tags of every resource.')
param tags object = {}

@description('Deploys only the vault, its reader and its log. `infra/deploy.sh` does this first, so that the secrets exist before settings refer to them.')
param vaultOnly bool = false

// --- the app

@description('`public`: everyone who knows an image address can read the image. `private`: only its owner can, through the API.')
@allowed(['public', 'private'])
param imageAccess string = 'public'

@description('Address of the front end that signs users in, for example https://app.example.com. Its pages may write.')
param nextAuthUrl string = ''

@description('Further origins whose pages may call with the session cookie (CORS), for example https://www.example.com.')
param allowedOrigins string[] = []

@description('Form of the session cookie: NextAuth encrypts it by default.')
@allowed(['encrypted', 'signed', 'introspect'])
param sessionFormat string = 'encrypted'

@description('Whether the vault has NEXTAUTH-SECRET-PREVIOUS, an older secret that is still accepted: true while secrets are rotated.')
param previousSecret bool = false

@description('The chain of models, best first, separated by commas. Empty: the default of the product.')
param geminiModels string = ''

@description('Response budget: seconds until a response is sent, 200 or 202. Empty: 40 behind Static Web Apps, 95 elsewhere. Set less if a proxy in front gives up earlier.')
@maxLength(4)
param responseBudgetSeconds string = ''

@description('Daily budget of one user, in US dollars, as a decimal number. Empty: no limit.')
@maxLength(12)
param dailyBudgetUsdPerUser string = ''

@description('Daily budget of all users together, in US dollars, as a decimal number. Empty: no limit.')
@maxLength(12)
param dailyBudgetUsd string = ''

@description('Budget of one user for a calendar month, in US dollars, as a decimal number. Empty: no limit.')
@maxLength(12)
param monthlyBudgetUsdPerUser string = ''

@description('Budget of all users together for a calendar month, in US dollars, as a decimal number. Empty: no limit.')
@maxLength(12)
param monthlyBudgetUsd string = ''

@description('Limits of single users: a JSON object as in docs/money.md. Empty: none.')
@maxLength(8000)
param userLimits string = ''

@description('Schedule of the recovery of unfinished generations: an NCRONTAB expression. docs/deploy.md has the cost of a run.')
param recoveryInterval string = '0 * * * * *'

// --- capacity

@description('Memory of one instance, in MB.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048

@description('Maximum number of instances.')
@minValue(40)
@maxValue(1000)
param maximumInstanceCount int = 40

@description('Always-ready instances for HTTP: 1 avoids the cold start, and costs money while idle.')
@minValue(0)
@maxValue(20)
param alwaysReadyHttp int = 0

@description('Concurrent requests of one instance; for more, another instance is started. A request mostly waits for the model, and 100 with bodies of 0.7 MB use 150 MB.')
@minValue(1)
@maxValue(1000)
param httpConcurrency int = instanceMemoryMB < 2048 ? 50 : 100

// --- storage

@description('Serverless is billed per request. Autoscale has a minimum price and a higher throughput.')
@allowed(['serverless', 'autoscale'])
param cosmosThroughput string = 'serverless'

@description('Maximum number of request units per second, with `autoscale`.')
@minValue(1000)
@maxValue(100000)
param cosmosAutoscaleMaxRUs int = 1000

@description('Name of an existing Cosmos DB account in this group to use instead of the environment\'s own, for example a restored one. Its containers and the app\'s role are deployed; the account itself is not changed. Empty: the environment\'s own.')
@maxLength(44)
param cosmosAccountName string = ''

@description('Days until a record is deleted automatically; its image stays. 0: never.')
@minValue(0)
@maxValue(3650)
param recordDays int = 0

@description('Replication of the images: LRS keeps three copies in one data centre, ZRS in three zones.')
@allowed(['Standard_LRS', 'Standard_ZRS'])
param picturesSku string = 'Standard_LRS'

@description('Days that logs are kept.')
@minValue(30)
@maxValue(730)
param logDays int = 30

// --- operators

@description('E-mail address for alerts. Empty: they are shown in the portal only.')
param alertEmail string = ''

@description('Spending of one day, in US dollars, that raises an alert.')
@minValue(1)
param alertDailyUsd int = 50

@description('Object id of the person or pipeline that sets the secrets. Empty: no role is assigned.')
param operatorPrincipalId string = ''

@description('Type of the principal in operatorPrincipalId.')
@allowed(['User', 'ServicePrincipal', 'Group'])
param operatorPrincipalType string = 'User'

// --- the Static Web App

@description('Whether to create a Static Web App (Standard) in front. `infra/deploy.sh` links the API to it last, because a linked function app refuses direct calls.')
param staticWebApp bool = false

@description('Region of the Static Web App, which is offered in few regions.')
@allowed(['centralus', 'eastus2', 'eastasia', 'westeurope', 'westus2'])
param staticWebAppLocation string = 'westeurope'

// The token makes names globally unique, and the same at every deployment of this environment to this group.
var token = uniqueString(subscription().id, resourceGroup().id, environmentName)
var compact = take(replace(environmentName, '-', ''), 7)
var names = {
  identity: 'id-${environmentName}-${token}'
  workspace: 'log-${environmentName}-${token}'
  insights: 'appi-${environmentName}-${token}'
  hostStorage: 'sthost${compact}${take(token, 11)}'
  imageStorage: 'stpics${compact}${take(token, 11)}'
  cosmos: empty(cosmosAccountName) ? 'cosmos-${environmentName}-${token}' : cosmosAccountName
  vault: 'kv-${compact}-${token}'
  plan: 'plan-${environmentName}-${token}'
  functions: 'func-${environmentName}-${token}'
  site: 'swa-${environmentName}-${token}'
}
// The origin of a page as a browser sends it: without a path and a trailing slash.
var nextAuthOrigin = empty(nextAuthUrl) ? [] : [join(take(split(nextAuthUrl, '/'), 3), '/')]
var allTags = union({ application: 'image-api', environment: environmentName }, tags)

// Modules get names instead of outputs of other modules, so that what-if and the tests can resolve everything. `dependsOn` keeps
// the order.

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

module imageStorage 'modules/image-storage.bicep' = if (!vaultOnly) {
  name: 'image-storage'
  params: {
    name: names.imageStorage
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
    imageStorageUrl: 'https://${names.imageStorage}.blob.${environment().suffixes.storage}'
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
  // The host cannot start before its roles and containers exist.
  dependsOn: [monitoring, hostStorage, imageStorage, containers, vault]
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

@description('Address of the API. With a Static Web App, the API answers only through it.')
output apiUrl string = vaultOnly ? '' : 'https://${staticWebApp ? site!.outputs.host : functions!.outputs.host}'
@description('Address of the function app. It refuses direct calls while a Static Web App is linked to it.')
output functionsUrl string = vaultOnly ? '' : 'https://${functions!.outputs.host}'
output region string = location
output functionsId string = vaultOnly ? '' : functions!.outputs.id
output functionsName string = names.functions
output vaultName string = names.vault
output imageStorageUrl string = 'https://${names.imageStorage}.blob.${environment().suffixes.storage}'
output cosmosEndpoint string = 'https://${names.cosmos}.documents.azure.com:443/'
output insightsName string = names.insights
output siteName string = staticWebApp ? names.site : ''
