// The Static Web App in front, with the function app linked as its `/api`.

param name string
param functionsName string
param backendLocation string
param location string
param tags object

resource functions 'Microsoft.Web/sites@2024-11-01' existing = {
  name: functionsName
}

resource site 'Microsoft.Web/staticSites@2024-11-01' = {
  name: name
  location: location
  tags: tags
  // Linking a backend is a feature of Standard.
  sku: { name: 'Standard', tier: 'Standard' }
  properties: {
    allowConfigFileUpdates: true
    stagingEnvironmentPolicy: 'Disabled'
  }

  resource backend 'linkedBackends' = {
    name: 'api'
    properties: { backendResourceId: functions.id, region: backendLocation }
  }
}

output host string = site.properties.defaultHostname
