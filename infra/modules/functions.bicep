// The function app, on Flex Consumption. No setting holds a credential: the app uses its identity and references to the vault.

param name string
param planName string
param identityName string
param insightsName string
param hostStorageName string
param deploymentContainer string
param imageStorageUrl string
param cosmosEndpoint string
param vaultUri string
param imageAccess string
param nextAuthUrl string
param allowedOrigins string[]
param sessionFormat string
param previousSecret bool
param geminiModels string
param responseBudgetSeconds string
param dailyBudgetUsdPerUser string
param dailyBudgetUsd string
param monthlyBudgetUsdPerUser string
param monthlyBudgetUsd string
param userLimits string
param recoveryInterval string
param instanceMemoryMB int
param maximumInstanceCount int
param alwaysReadyHttp int
param httpConcurrency int
param location string
param tags object

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: identityName
}

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: insightsName
}

resource plan 'Microsoft.Web/serverfarms@2024-11-01' = {
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { tier: 'FlexConsumption', name: 'FC1' }
  properties: { reserved: true }
}

var hostStorage = 'https://${hostStorageName}'
var suffix = environment().suffixes.storage

// Settings that the platform defines. `AzureWebJobsStorage` and `COSMOS` are the connections of triggers and bindings.
var platform = {
  APPLICATIONINSIGHTS_CONNECTION_STRING: insights.properties.ConnectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'Authorization=AAD;ClientId=${identity.properties.clientId}'
  AzureWebJobsStorage__blobServiceUri: '${hostStorage}.blob.${suffix}'
  AzureWebJobsStorage__queueServiceUri: '${hostStorage}.queue.${suffix}'
  AzureWebJobsStorage__tableServiceUri: '${hostStorage}.table.${suffix}'
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identity.properties.clientId
  COSMOS__accountEndpoint: cosmosEndpoint
  COSMOS__credential: 'managedidentity'
  COSMOS__clientId: identity.properties.clientId
  // DefaultAzureCredential selects the identity by this variable.
  AZURE_CLIENT_ID: identity.properties.clientId
}

// Settings of the app: `image_core/settings.py`.
var product = {
  AZURE_STORAGE_ACCOUNT_URL: imageStorageUrl
  AZURE_COSMOS_ENDPOINT: cosmosEndpoint
  IMAGE_ACCESS: imageAccess
  NEXTAUTH_URL: nextAuthUrl
  NEXTAUTH_JWT: sessionFormat
  ALLOWED_ORIGINS: join(allowedOrigins, ',')
  GEMINI_MODELS: geminiModels
  RESPONSE_BUDGET_SECONDS: responseBudgetSeconds
  DAILY_BUDGET_USD_PER_USER: dailyBudgetUsdPerUser
  DAILY_BUDGET_USD: dailyBudgetUsd
  MONTHLY_BUDGET_USD_PER_USER: monthlyBudgetUsdPerUser
  MONTHLY_BUDGET_USD: monthlyBudgetUsd
  USER_LIMITS: userLimits
  RECOVERY_INTERVAL: recoveryInterval
  // A third of an instance, for request bodies, inputs and responses. Python, the host and the sandboxes use the rest
  // (`make bench ONLY=worker`).
  MAX_INFLIGHT_BYTES: string(instanceMemoryMB * 350000)
}

// A reference without a version means the newest version. The trailing slash is required.
var references = union(
  {
    GEMINI_API_KEY: '@Microsoft.KeyVault(SecretUri=${vaultUri}/secrets/GEMINI-API-KEY/)'
    NEXTAUTH_SECRET: '@Microsoft.KeyVault(SecretUri=${vaultUri}/secrets/NEXTAUTH-SECRET/)'
  },
  previousSecret
    ? { NEXTAUTH_SECRET_PREVIOUS: '@Microsoft.KeyVault(SecretUri=${vaultUri}/secrets/NEXTAUTH-SECRET-PREVIOUS/)' }
    : {}
)

resource app 'Microsoft.Web/sites@2024-11-01' = {
  name: name
  location: location
  tags: tags
  kind: 'functionapp,linux'
  identity: { type: 'UserAssigned', userAssignedIdentities: { '${identity.id}': {} } }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    keyVaultReferenceIdentity: identity.id
    siteConfig: {
      minTlsVersion: '1.2'
      http20Enabled: true
    }
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${hostStorage}.blob.${suffix}/${deploymentContainer}'
          authentication: { type: 'UserAssignedIdentity', userAssignedIdentityResourceId: identity.id }
        }
      }
      runtime: { name: 'python', version: '3.13' }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstanceCount
        alwaysReady: alwaysReadyHttp == 0 ? [] : [{ name: 'http', instanceCount: alwaysReadyHttp }]
        // By default a Python instance gets one request at a time, and a request spends half a minute waiting.
        triggers: { http: { perInstanceConcurrency: httpConcurrency } }
      }
    }
  }

  resource settings 'config' = {
    name: 'appsettings'
    properties: union(platform, product, references)
  }

  // Code is published with Entra authentication only.
  resource scm 'basicPublishingCredentialsPolicies' = {
    name: 'scm'
    properties: { allow: false }
  }

  resource ftp 'basicPublishingCredentialsPolicies' = {
    name: 'ftp'
    properties: { allow: false }
  }
}

output host string = app.properties.defaultHostName
output id string = app.id
